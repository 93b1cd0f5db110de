"""`thalweg run FILE.py:FLOW --input TABLE --output TABLE`: the main job."""

from __future__ import annotations

import math
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from thalweg.cli.target import load_program


@click.command("run")
@click.argument("target")
@click.option("--input", "input_", required=True, help="CSV, TSV, JSONL, Parquet (path or URL), or a directory.")
@click.option("--output", required=True, help="CSV, TSV, JSONL or Parquet (path or URL); appears whole in the end.")
@click.option("--on", metavar="ray[:ADDRESS]", help="Run on a Ray cluster; without an address, on a local one.")
@click.option("--replicas", type=click.IntRange(1), help="With --on: workers. Default one a node.")
@click.option("--column", "columns", multiple=True, metavar="PARAM=COLUMN", help="Input column of a parameter.")
@click.option(
    "--keep", default=None, help="Input columns to carry over, comma-separated; 'none' for none. Default all."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first rows.")
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL[,URL], recorded:PATH.")
@click.option("--state", "state_path", type=click.Path(), help="Parameters saved by `save`, or a study.")
@click.option(
    "--concurrency", type=click.IntRange(1), help="Rows under way at once. Default twice the model's streams."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failing row.")
@click.option("--resume/--fresh", default=True, help="Go on where an earlier run stopped (default), or start over.")
@click.option("--retry-failed", is_flag=True, help="Run rows again that failed in the earlier run.")
@click.option("--overflow", type=click.Choice(["error", "truncate"]), help="For prompts longer than the context.")
@click.option("--temperature", type=click.FloatRange(0), help="0 is greedy (default).")
@click.option("--seed", type=int, help="For temperature above 0.")
@click.option("--decoder", help="Guess tokens ahead: auto, lookahead, ... (models opened with tree: or torch:).")
@click.option("--sampler", type=click.Choice(["masked", "aligned", "smc", "awrs"]), help="How values are drawn.")
@click.option("--schedule", type=click.Choice(["batch", "sorted", "fcfs"]), help="Which rows begin first.")
@click.option("--store", help="Folder of journal and cache. Default .thalweg, or THALWEG_STORE.")
@click.option("--cache/--no-cache", default=None, help="Answer equal calls from the project's cache (default on).")
@click.option("--dry-run", is_flag=True, help="Show the plan, tokens and cost; run nothing.")
@click.option("--evaluate", metavar="LABEL[=COLUMN]", help="Compare an output column with the input column LABEL.")
@click.option("--progress/--no-progress", default=None, help="Progress bar (default: on a terminal).")
def command(target: str, input_: str, output: str, **options: Any) -> int:
    """Map TARGET (file.py:flow) over a table.

    Every finished row is kept: after an interruption the same command goes on where it was.
    """
    import thalweg as tw
    from thalweg.errors import Error
    from thalweg.program.table_run import TableRun

    program = load_program(target)
    if options["state_path"]:
        from thalweg.cli.saved import with_saved

        program = with_saved(program, options["state_path"])
    names = (
        "model",
        "concurrency",
        "cache",
        "overflow",
        "temperature",
        "seed",
        "decoder",
        "sampler",
        "schedule",
        "store",
    )
    said = {name: options[name] for name in names if options[name] is not None}
    keep = options["keep"]
    place = _staged(input_, output, said)
    job = TableRun(
        program,
        place.input,
        place.output,
        columns=dict(_pair(one) for one in options["columns"]),
        keep=None if keep is None else tuple(name for name in keep.split(",") if name and keep != "none"),
        limit=options["limit"],
        fail_fast=options["fail_fast"],
    )
    if options["evaluate"]:
        from thalweg.cli.evaluate import check

        check(job, options["evaluate"])
    with tw.using(**said):
        if options["dry_run"]:
            _show_plan(job.plan())
            return 0
        try:
            with _bar(program.name, options["progress"]) as watch, _interruptible():
                runner = job if options["on"] is None else _on_cluster(job, options["on"], options["replicas"])
                summary = runner.run(fresh=not options["resume"], retry_failed=options["retry_failed"], watch=watch)
        except Error:
            raise
        except Exception:  # the program's own, with --fail-fast: its author needs the traceback
            traceback.print_exc()
            return 1
        if not summary.finished:
            click.echo(
                f"\nStopped after {summary.rows} rows; they are kept. The same command goes on from there.", err=True
            )
            return 130
        place.publish()
        _show_summary(summary, output)
    if options["evaluate"]:
        from thalweg.cli.evaluate import evaluate

        evaluate(place.output, options["evaluate"])
    place.clear()
    return 0


def _staged(input_: str, output: str, said: dict[str, Any]) -> Any:
    """Local stand-ins of tables that are elsewhere."""
    import thalweg as tw
    from thalweg.program.session import current, store_in_force
    from thalweg.program.tables.object_storage import Staged, is_url, staged

    if not is_url(input_) and not is_url(output):
        return Staged(Path(input_), Path(output))
    with tw.using(**said):
        return staged(input_, output, store_in_force(current()).folder)


def _on_cluster(job: Any, on: str, replicas: int | None) -> Any:
    from thalweg.program.distributed import RayTableRun

    return RayTableRun(job, on, replicas)


def _pair(text: str) -> tuple[str, str]:
    name, _, column = text.partition("=")
    if not name or not column:
        raise click.UsageError(f"--column {text}: write PARAMETER=COLUMN.")
    return name, column


@contextmanager
def _interruptible() -> Any:
    """SIGTERM stops as cleanly as Ctrl-C."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _bar(title: str, wanted: bool | None) -> Any:
    shown = sys.stderr.isatty() if wanted is None else wanted
    if not shown:
        last = [time.time()]

        def lines(progress: Any) -> None:
            if time.time() - last[0] >= 15:
                last[0] = time.time()
                click.echo(f"{title}: {progress.done}/{progress.total or '?'} rows, {_speed(progress)}", err=True)

        yield lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bar:
        task = bar.add_task(title, total=None, speed="")

        def watch(progress: Any) -> None:
            bar.update(task, total=progress.total, completed=progress.done, speed=_speed(progress))

        yield watch


def _speed(progress: Any) -> str:
    seconds = max(1e-6, time.time() - progress.started)
    meter = progress.meter
    fresh = progress.done - progress.replayed
    parts = [
        f"{fresh / seconds:.1f} rows/s",
        f"{(meter.prompt_tokens + meter.output_tokens) / seconds:.0f} tokens/s",
        f"{_share(meter.cached_tokens, meter.prompt_tokens)} of prompts reused",
    ]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    return ", ".join(parts)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _show_summary(summary: Any, output: str) -> None:
    meter = summary.meter
    seconds = max(summary.seconds, 1e-9)
    fresh = summary.rows - summary.replayed
    lines = [
        ("rows", f"{summary.rows}" + (f", {summary.failed} failed (see _error)" if summary.failed else "")),
        ("already done", f"{summary.replayed} rows from an earlier run" if summary.replayed else ""),
        ("time", f"{seconds:.1f} s, {fresh / seconds:.2f} rows/s"),
        ("calls", f"{meter.calls}" + (f", {meter.reused} answered from cache or journal" if meter.reused else "")),
        ("prompt tokens", f"{meter.prompt_tokens}, {_share(meter.cached_tokens, meter.prompt_tokens)} reused"),
        ("output tokens", f"{meter.output_tokens}, {_share(meter.forced_tokens, meter.output_tokens)} not sampled"),
        ("output", output),
        ("journal", f"run {summary.run}; see `thalweg inspect --run {summary.run}`"),
    ]
    for name, text in lines:
        if text:
            click.echo(f"{name:<14} {text}")


def _show_plan(plan: Any) -> None:
    click.echo(f"program        {plan.program} with {plan.model}")
    click.echo(f"rows           {plan.rows if plan.rows is not None else 'unknown until read'}")
    click.echo(f"run            {plan.run} ({plan.status}{f', {plan.done} rows done' if plan.done else ''})")
    click.echo(f"output         {', '.join(f'{column.name}: {column.kind}' for column in plan.columns)}")
    left = max(0, (plan.rows or 0) - plan.done)
    for one in plan.functions:
        note = "" if one.measured else " (inputs not known before running: fixed part only)"
        shared = f"{one.shared_tokens} of them shared by all{note}"
        calls = f"{one.calls:.3g} calls a row"
        click.echo(f"  {one.name:<12} {calls}, {one.prompt_tokens:.0f} prompt tokens a call, {shared}")
        said = f"as in {one.output_seen} earlier answers" if one.output_seen else "a guess by the type"
        click.echo(f"  {'':<12} about {one.output_tokens:.3g} tokens drawn an answer ({said})")
    if plan.functions and left:
        total = sum(one.calls * one.prompt_tokens for one in plan.functions) * left
        fresh = sum(one.calls * max(0.0, one.prompt_tokens - one.shared_tokens) for one in plan.functions) * left
        click.echo(f"prompt tokens  about {total:.0f}, of which {fresh:.0f} must be computed")
        if math.isnan(plan.seconds):
            click.echo("time           not known; `thalweg models prepare` measures this machine once")
        else:
            click.echo(f"time           about {plan.seconds:.0f} s on this machine")
    click.echo("Nothing was run.")


__all__ = ["command"]
