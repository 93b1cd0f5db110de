"""`thalweg optimize FILE.py:PROGRAM --train TABLE`: search for a better program, and go on with a stopped search."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from thalweg.cli.target import load_object, load_program

_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*([km]?)\s*(calls?|evaluations?|tokens?|s|sec|seconds?|min|minutes?|h|hours?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class _WithStrategies(click.Command):
    """Lists the optimizers below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from thalweg.optimizing.named import NAMES

        formatter.write_paragraph()
        formatter.write_text(
            f"Strategies: {', '.join(NAMES)}; joined by >> each starts from the best of the one before."
        )


@click.command("optimize", cls=_WithStrategies)
@click.argument("target")
@click.option("--train", required=True, metavar="TABLE", help="Labelled rows: CSV, TSV, JSONL, Parquet, Arrow.")
@click.option("--dev", metavar="TABLE", help="Rows to choose by. Default: half of --train.")
@click.option("--test", metavar="TABLE", help="Rows for the final score only. Without --dev too: a fifth of --train.")
@click.option(
    "--split", metavar="COLUMN", help="Column of --train that says train, dev or test, in place of the above."
)
@click.option("--label", metavar="COLUMN", help="Column of the right answers. Default: label, expected, answer, ...")
@click.option("--column", "columns", multiple=True, metavar="PARAM=COLUMN", help="Input column of a parameter.")
@click.option("--limit", type=click.IntRange(1), help="Only the first rows of each table.")
@click.option(
    "--metric", default="exact", show_default=True, help="exact, contains, f1, close, fields, or FILE.py:NAME."
)
@click.option("--strategy", default="auto", show_default=True, metavar="NAME[>>NAME]", help="How to search; see below.")
@click.option(
    "--budget", metavar="LIMITS", help="When to stop: 2000calls, 500evaluations, 50ktokens, 10min; by commas."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL[,URL], recorded:PATH.")
@click.option("--save", "save", type=click.Path(), metavar="BEST.json", help="Where to write the best program.")
@click.option("--report", type=click.Path(), metavar="PAGE.html", help="Where to write the report (.html, .png, .txt).")
@click.option("--id", "id_", help="Name of the study. Default: made of what is searched.")
@click.option("--fresh", is_flag=True, help="Start over; forget what an earlier search found.")
@click.option("--store", help="Folder of journal and cache. Default .thalweg, or THALWEG_STORE.")
@click.option("--cache/--no-cache", default=None, help="Answer equal calls from the project's cache (default on).")
@click.option("--concurrency", type=click.IntRange(1), help="Rows under way at once.")
@click.option("--dry-run", is_flag=True, help="Say what is open, how many examples there are and what it costs.")
@click.option("--progress/--no-progress", default=None, help="Progress bar (default: on a terminal).")
def command(target: str, **options: Any) -> int:
    """Search for a better version of TARGET (file.py:program) by labelled examples.

    Every scored row is kept: after Ctrl-C or a crash the same command goes on where it was. --train alone is split
    40/40/20 into train, dev and test; the score on test is never looked at before the end.

    \b
    thalweg optimize flow.py:triage --train train.csv --test test.csv \\
        --budget 2000calls --save best.json --report report.html
    thalweg run flow.py:triage --state best.json --input new.csv --output sorted.csv
    """
    import thalweg as tw
    from thalweg.cli.run import _interruptible
    from thalweg.optimizing import optimize
    from thalweg.optimizing.named import optimizer_of

    program = load_program(target)
    metric = metric_from(options["metric"])
    strategy = optimizer_of(options["strategy"])
    budget = budget_from(options["budget"])
    for name, suffixes in (("save", (".json",)), ("report", (".html", ".png", ".txt"))):
        _check_target(name, options[name], suffixes)
    train, dev, test = _splits(program, options)
    said = {name: options[name] for name in ("model", "store", "cache", "concurrency") if options[name] is not None}
    with tw.using(**said):
        if options["dry_run"]:
            _show_plan(program, strategy, budget, (train, dev, test))
            return 0
        with _interruptible():
            study = optimize(
                program, metric=metric, strategy=strategy, train=train, dev=dev, test=test if test.examples else None,
                budget=budget, seed=options["seed"], id=options["id_"], fresh=options["fresh"],
                progress=options["progress"],
            )  # fmt: skip
        click.echo(study.report())
        if options["save"]:
            _save(study, options["save"], target)
        if report := options["report"]:
            _write_report(study, Path(report))
            click.echo(f"  report       {report}")
    return 0


def budget_from(text: str | None) -> Any:
    """``2000calls,10min`` as a `Budget`; None for no limits. Raises `click.UsageError`."""
    from thalweg.program.budget import Budget

    if text is None:
        return None
    limits: dict[str, Any] = {}
    for part in text.split(","):
        found = _BUDGET.fullmatch(part.strip().lower())
        if found is None:
            raise click.UsageError(
                f"--budget {part.strip()}: write a number and calls, evaluations, tokens, s, min or h, as in "
                "2000calls,10min."
            )
        number = float(found[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[found[2]]
        unit = found[3]
        name = next((one for one in ("calls", "evaluations", "tokens") if one.rstrip("s") == unit.rstrip("s")), "")
        if unit in ("s", "sec") or not name:
            name, number = "seconds", number * _SECONDS[unit[0]]
        if name in limits:
            raise click.UsageError(f"--budget {text}: two limits of {name}.")
        limits[name] = number if name == "seconds" else int(number)
    return Budget(**limits)


def metric_from(text: str) -> Any:
    """A metric by its name, or from a file. Raises `click.UsageError`."""
    from thalweg.optimizing.ready_metrics import METRICS

    if text in METRICS:
        return METRICS[text]
    if ":" not in text:
        raise click.UsageError(f"--metric {text}: write {', '.join(METRICS)}, or FILE.py:NAME of a function.")
    found = load_object(text)
    if not callable(found):
        raise click.UsageError(f"--metric {text} is no function of an example and an output.")
    return found


def examples_from(program: Any, path: str, options: dict[str, Any]) -> Any:
    """The examples of a table, with what was left out."""
    from thalweg.cli.run import _pair
    from thalweg.optimizing.example import read_examples

    return read_examples(
        path, program=program, label=options["label"], columns=dict(_pair(one) for one in options["columns"]),
        limit=options["limit"],
    )  # fmt: skip


def _splits(program: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Train, dev and test as `Read`s; test may be empty."""
    from thalweg.optimizing.example import Read
    from thalweg.optimizing.splits import split

    train = examples_from(program, options["train"], options)
    column = options["split"]
    if column is not None:
        if options["dev"] or options["test"]:
            raise click.UsageError("Give --split, or --dev and --test, not both.")
        parts: dict[str, list[Any]] = {"train": [], "dev": [], "test": []}
        for one in train.examples:
            part = str(one.row.get(column, ""))
            if part not in parts:
                raise click.UsageError(f"--split {column}: row {one.number} has {part!r}; write train, dev or test.")
            parts[part].append(one)
        if not parts["train"] or not parts["dev"]:
            raise click.UsageError(f"--split {column}: no row is in train, or none in dev.")
        return replace(train, examples=parts["train"]), Read(parts["dev"]), Read(parts["test"])
    test = examples_from(program, options["test"], options) if options["test"] else Read([])
    if options["dev"]:
        return train, examples_from(program, options["dev"], options), test
    shares = (0.5, 0.5) if options["test"] else (0.4, 0.4, 0.2)
    made = split(train.examples, *shares, seed=options["seed"])
    return replace(train, examples=made[0]), Read(made[1]), test if options["test"] else Read(made[2])


def _check_target(option: str, path: str | None, suffixes: tuple[str, ...]) -> None:
    """Say before hours of search that its result could not be written."""
    if path is None:
        return
    if Path(path).suffix.lower() not in suffixes:
        raise click.UsageError(f"--{option} {path}: let the name end in {' or '.join(suffixes)}.")
    if not Path(path).absolute().parent.is_dir():
        raise click.UsageError(f"--{option} {path}: there is no folder {Path(path).parent}.")


def _save(study: Any, path: str, target: str) -> None:
    """Write the best program that a file can hold: one that has a strategy of its own is more than parameters."""
    from thalweg.optimizing.scoring import bound

    kept = [one for one in study.trials if not hasattr(one.genome.space, "bind")]
    best = max(kept, key=lambda one: (one.score, -one.number))
    bound(study.program, best.genome).save(path)
    if best.score < study.best_trial.score:
        click.echo(
            f"The best is trial {study.best_trial.number}, whose strategy a file of parameters cannot hold: use it "
            f"from Python, by `optimize(...).best`. Trial {best.number} ({best.score:.3f}) is saved in its place.",
            err=True,
        )
    note = " (nothing was better than the program as it was)" if best is study.baseline else ""
    click.echo(f"  saved        {path}{note}; use it by `thalweg run {target} --state {path}`")


def _write_report(study: Any, path: Path) -> None:
    kind = path.suffix.lower()
    if kind == ".png":
        study.plot(path)
    elif kind == ".txt":
        path.write_text(study.report() + "\n", encoding="utf-8")
    else:
        study.html(path)


def _show_plan(program: Any, strategy: Any, budget: Any, splits: tuple[Any, Any, Any]) -> None:
    import math

    from thalweg.optimizing.leakage import checked
    from thalweg.optimizing.scoring import arguments_of
    from thalweg.program.session import current, model_in_force
    from thalweg.program.spaces import space
    from thalweg.program.table_plan import function_plans, seconds_of
    from thalweg.program.tables import Row
    from thalweg.scheduling.profiles import kept

    train, dev, test = (one.examples for one in splits)
    searched = space(program)
    names = [name for name in arguments_of(program, searched)[0] if any(name in one.row for one in dev)]
    session = program.own.over(current())
    model = model_in_force(session)
    click.echo(f"program        {program.name} with {model.name}")
    click.echo(f"examples       {len(train)} train, {len(dev)} dev, {len(test)} test")
    for one in [*splits[0].warnings, *splits[1].warnings, *splits[2].warnings,
                *checked(train, dev, test, names).warnings()]:  # fmt: skip
        click.echo(f"warning        {one}")
    click.echo(f"strategy       {strategy.name}")
    click.echo("open choices")
    for line in str(searched).splitlines():
        click.echo(f"  {line}")
    rows: Any = [Row(index, dict(one.row)) for index, one in enumerate(dev)]
    wiring = {name: name for name in names}
    plans = list(function_plans(program, rows, wiring, session, model))
    calls = sum(one.calls for one in plans) or 1.0
    tokens = sum(one.calls * (one.prompt_tokens + one.output_tokens) for one in plans)
    note = "" if all(one.measured for one in plans) else ", at least (inputs of later steps are not known)"
    click.echo(f"one candidate  {len(dev)} evaluations, about {calls * len(dev):.0f} calls and "
               f"{tokens * len(dev):,.0f} tokens on dev{note}")  # fmt: skip
    seconds = seconds_of(plans, len(dev), kept(model.identity), model.capabilities.streams)
    if not math.isnan(seconds):
        click.echo(f"time           about {seconds:.0f} s a candidate on this machine, without demonstrations")
    if budget is not None:
        pays = _candidates(budget, len(dev), calls, tokens, seconds)
        click.echo(f"budget         pays for about {pays} candidates" + ("" if pays >= 3 else ": hardly a search"))
    click.echo("Nothing was run.")


def _candidates(budget: Any, rows: int, calls: float, tokens: float, seconds: float) -> int:
    """How many candidates of this size a budget allows."""
    costs = {"evaluations": rows, "calls": rows * calls, "tokens": rows * tokens, "seconds": seconds}
    allowed = [
        limit / costs[name]
        for name in costs
        if (limit := getattr(budget, name)) is not None and costs[name] == costs[name] and costs[name] > 0
    ]
    return int(min(allowed, default=0))


__all__ = ["command"]
