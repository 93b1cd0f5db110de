"""`thalweg runs | resume | answer | questions | events`: durable runs and what they wait for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_store = click.option("--store", help="Folder of the store. Default .thalweg, or THALWEG_STORE.")


@click.command("runs")
@_store
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest runs to list.")
def runs(store: str | None, limit: int) -> None:
    """List durable runs, then studies of `thalweg optimize`, newest first: id, when it began, status, program.

    A run that is "interrupted" goes on with `thalweg resume`, one that is "waiting" with `thalweg answer`; a study that
    is "stopped" or "running" in no process, with the command that began it.
    """
    from thalweg.program.run import runs as all_runs
    from thalweg.program.run_store import studies as all_studies
    from thalweg.program.session import current, store_in_force

    with _using(store=store):
        found = all_runs()
        studies = all_studies(store_in_force(current()))
    for one in found[:limit]:
        took = f"{one.finished - one.started:.1f} s" if one.finished else ""
        flow = one.flow.rpartition(":")[2]
        click.echo(f"{one.id:<32} {_when(one.started)}  {one.status:<11} {flow:<20} {took}".rstrip())
        if one.error:
            click.echo(f"    {one.error}")
    for study in studies[:limit]:
        click.echo(f"{study.run:<32} {_when(study.started)}  {study.status:<11} {study.program:<20} study")
    if not found and not studies:
        click.echo("There are no durable runs in this store. `flow.start(x, id=...)` begins one.", err=True)


@click.command("resume")
@click.argument("run")
@click.option("--flow", "target", metavar="FILE.py:FLOW", help="The run's flow, where it cannot be imported by name.")
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL, recorded:PATH. Default: the run's own.")
@click.option("--cache/--no-cache", default=None, help="Answer equal calls from the project's cache (default on).")
@_store
def resume(run: str, target: str | None, model: str | None, cache: bool | None, store: str | None) -> int:
    """Go on with RUN after its last recorded step, and print its result as JSON.

    Nothing recorded is done again. Where another process works on the run, wait for its result. Questions are asked
    here on a terminal, and wait for `thalweg answer` otherwise.
    """
    from thalweg.program import Flow
    from thalweg.program.run import resume as go_on
    from thalweg.program.types import jsonable

    sys.path.insert(0, str(Path.cwd()))
    flow = None
    if target:
        from thalweg.cli.target import load_program

        flow = load_program(target)
        if not isinstance(flow, Flow):
            raise click.UsageError(f"{target} is a learned function; a durable run is one of a flow.")
    with _using(store=store, model=model, cache=cache):
        found = go_on(run, flow)
        while not found.done():  # in short waits, so that Ctrl-C is heard
            try:
                found.result(0.5)
            except TimeoutError:
                continue
            except Exception:
                break
        result = found.result()
    click.echo(json.dumps(jsonable(result), ensure_ascii=False))
    return 0


@click.command("answer")
@click.argument("run")
@click.argument("value")
@click.option("--path", help="Which question, where the run asks several (`thalweg questions` shows paths).")
@_store
def answer(run: str, value: str, path: str | None, store: str | None) -> None:
    """Answer what RUN asks with VALUE: a choice, a text, or JSON; yes and no will do.

    The run's process goes on with it at once; a run without a process finds it when it is resumed.
    """
    from thalweg.program.human import answer as give

    with _using(store=store):
        give(run, value, path)
    click.echo(f"Answered. If no process works on it: thalweg resume {run}", err=True)


@click.command("questions")
@click.argument("run", required=False)
@_store
def questions(run: str | None, store: str | None) -> None:
    """List what waits for a person, oldest first; of RUN only, if it is named."""
    from thalweg.program.human import questions as open_questions

    with _using(store=store):
        found = open_questions(run)
    for one in found:
        click.echo(f"{one.run}  {one.path}  (since {_when(one.asked)})")
        click.echo(f"    {one.text}")
        if one.payload is not None:
            shown = one.payload if isinstance(one.payload, str) else json.dumps(one.payload, ensure_ascii=False)
            click.echo(f"    {shown if len(shown) <= 2000 else shown[:1997] + '...'}")
        if one.refused:
            click.echo(f"    {one.refused}")
        click.echo(f"    answer: thalweg answer {one.run} VALUE   ({one.expects})")
    if not found:
        click.echo("Nothing waits for a person.", err=True)


@click.command("events")
@click.argument("run")
@click.option("--follow", is_flag=True, help="Go on until the run ends (or nobody works on it any more).")
@_store
def events(run: str, follow: bool, store: str | None) -> None:
    """Print what happened in RUN, a line an event: started, finished with the value, failed with the error."""
    from thalweg.program.events import Started
    from thalweg.program.run import status_of
    from thalweg.program.run_events import Failed, journal_events
    from thalweg.program.session import current, store_in_force

    with _using(store=store):
        place = store_in_force(current())
        status_of(place, run)  # raises where there is no such run

        def over() -> bool:
            return not follow or status_of(place, run) in ("finished", "failed", "interrupted")

        for event in journal_events(place, run, over, time.sleep):
            if isinstance(event, Started):
                click.echo(f"started   {event.path}")
            elif isinstance(event, Failed):
                click.echo(f"failed    {event.path}  {event.error}")
            else:
                click.echo(f"finished  {event.path}  {json.dumps(event.value, ensure_ascii=False)[:500]}")
        click.echo(f"{status_of(place, run):<9}")


@contextmanager
def _using(**said: Any) -> Iterator[None]:
    import thalweg as tw

    with tw.using(**{name: value for name, value in said.items() if value is not None}):
        yield


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


__all__ = ["answer", "events", "questions", "resume", "runs"]
