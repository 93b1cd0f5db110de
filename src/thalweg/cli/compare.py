"""`thalweg compare A B --on TABLE`: two programs on the same rows, with a paired test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from thalweg.cli.target import load_program


@click.command("compare")
@click.argument("programs", nargs=-1, required=True, metavar="A [B]")
@click.option("--on", required=True, metavar="TABLE", help="Labelled rows: CSV, TSV, JSONL, Parquet, Arrow.")
@click.option("--program", "target", metavar="FILE.py:NAME", help="The program that saved files are of.")
@click.option("--split", metavar="COLUMN=VALUE", help="Only rows with this value in a column, as in split=test.")
@click.option("--label", metavar="COLUMN", help="Column of the right answers. Default: label, expected, answer, ...")
@click.option("--column", "columns", multiple=True, metavar="PARAM=COLUMN", help="Input column of a parameter.")
@click.option("--limit", type=click.IntRange(1), help="Only the first rows.")
@click.option(
    "--metric", default="exact", show_default=True, help="exact, contains, f1, close, fields, or FILE.py:NAME."
)
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL[,URL], recorded:PATH.")
@click.option("--store", help="Folder of journal and cache. Default .thalweg, or THALWEG_STORE.")
@click.option("--cache/--no-cache", default=None, help="Answer equal calls from the project's cache (default on).")
@click.option("--rows", "most", type=click.IntRange(0), default=5, show_default=True, help="Rows won and lost to show.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, every row included.")
@click.option("--html", "page", type=click.Path(), metavar="PAGE.html", help="Where to write a page with every row.")
def command(programs: tuple[str, ...], **options: Any) -> int:
    """Compare two programs on the same rows: which one is better, and whether it is more than chance.

    A and B are files saved by `save` or by `thalweg optimize` (with --program), studies, or FILE.py:NAME. A saved file
    alone is compared with the program as it is written.

    \b
    thalweg compare a.json b.json --program flow.py:triage --on test.parquet
    thalweg compare best.json --program flow.py:triage --on test.parquet --html page.html
    thalweg compare flow.py:triage flow.py:other --on test.parquet
    """
    import thalweg as tw
    from thalweg.cli.optimize import examples_from, metric_from
    from thalweg.optimizing.comparison import compare

    if len(programs) > 2:
        raise click.UsageError("Compare two programs at a time.")
    base = load_program(options["target"]) if options["target"] else None
    named = [(one, _program(one, base)) for one in programs]
    if len(named) == 1:
        if base is None:
            raise click.UsageError("Name two programs, or one saved file and its --program.")
        named.insert(0, ("as written", base))
    (first, before), (second, after) = named
    metric = metric_from(options["metric"])
    page = options["page"]
    if page and not Path(page).absolute().parent.is_dir():
        raise click.UsageError(f"--html {page}: there is no folder {Path(page).parent}.")
    found = examples_from(before, options["on"], options)
    for one in found.warnings:
        click.echo(f"warning: {one}", err=True)
    examples = _chosen(found.examples, options["split"])
    said = {name: options[name] for name in ("model", "store", "cache") if options[name] is not None}
    with tw.using(**said):
        paired = compare(before, after, examples, metric, names=_short_names(first, second))
    if page:
        paired.html(page)
    if options["as_json"]:
        click.echo(json.dumps(paired.to_json(), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        click.echo(paired.text(most=options["most"]))
        if page:
            click.echo(f"  page {page}")
    return 0


def _program(text: str, base: Any) -> Any:
    from thalweg.cli.saved import with_saved

    if not text.endswith(".json"):
        return load_program(text)
    if base is None:
        raise click.UsageError(f"{text} is a saved file: say of which program, by --program FILE.py:NAME.")
    if not Path(text).is_file():
        raise click.UsageError(f"There is no file {text}.")
    return with_saved(base, text)


def _chosen(examples: list[Any], spec: str | None) -> list[Any]:
    if spec is None:
        return examples
    column, _, value = spec.partition("=")
    kept = [one for one in examples if str(one.row.get(column, "")) == value]
    if not kept:
        raise click.UsageError(f"--split {spec}: no row has {value!r} in a column {column!r}.")
    return kept


def _short_names(first: str, second: str) -> tuple[str, str]:
    """Names of files without their folders, where they differ then."""
    short = (Path(first).name, Path(second).name)
    if short[0] != short[1]:
        return short
    return (first, second) if first != second else (f"{first} (1)", f"{second} (2)")


__all__ = ["command"]
