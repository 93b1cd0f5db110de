"""`thalweg models [list]`, `thalweg models prepare NAME`."""

from __future__ import annotations

from typing import Any

import click


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List models (default), or prepare one for this machine."""
    if ctx.invoked_subcommand is None:
        _list()


@command.command("list")
def list_() -> None:
    """What there is, installed or not."""
    _list()


def _list() -> None:
    from thalweg.models import names

    for one in names():
        state = f"{one.bytes / 1e6:.0f} MB" if one.installed else "not installed"
        formats = f"prepared as {', '.join(one.prepared)}" if one.prepared else ""
        click.echo(f"{one.name:<16} {state:<14} {one.licence:<14} {formats}")
        click.echo(f"{'':<16} {one.notes}")
    click.echo("Any GGUF file by its path; servers as openai:MODEL@URL; recordings as recorded:PATH.")


@command.command("prepare")
@click.argument("name", default="smollm2-135m")
@click.option("--format", "formats", multiple=True, help="Formats to measure. Default q8_0, bf16, original.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a setting.")
def prepare(name: str, formats: tuple[str, ...], as_json: bool) -> None:
    """Measure weight formats on this machine and choose: exact ones first, then the fastest.

    Requantised weights go to the cache folder. A setting that crashes the engine is tried in a process of its own and
    left out. Takes about ten seconds a setting.
    """
    import json

    from thalweg.models.prepare import measure

    report = measure(name, formats or ("q8_0", "bf16", "original"), progress=lambda text: click.echo(text, err=True))
    if report.chosen is not None:
        _profile(name)
    rows: list[dict[str, Any]] = report.rows()
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    titles = list(dict.fromkeys(key for row in rows for key in row))
    table = [titles] + [["" if row.get(key) is None else _cell(row[key]) for key in titles] for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(titles))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    click.echo("prefill and decode in tokens/s (decode by streams); exact rows: batch-mates that never change a result")


def _profile(name: str) -> None:
    """What the chosen format costs, for plans."""
    from thalweg.models import load
    from thalweg.scheduling.profiles import measured

    click.echo("measuring what prompts and passes cost", err=True)
    scorer = load(name)
    try:
        measured(scorer)
    finally:
        getattr(scorer, "free", lambda: None)()


def _cell(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
