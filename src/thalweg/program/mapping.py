"""Many rows at once: submit ahead of the model, keep order, keep failures beside results, show progress."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any

from thalweg.program.session import Session, model_in_force
from thalweg.program.signature import row_inputs
from thalweg.program.value import Failure, Value

SHOWN_FROM = 20  # rows: shorter maps are over before a bar is read


def map_rows(
    submit: Callable[..., Value[Any]],
    names: list[str],
    rows: Iterable[Any],
    more: tuple[Iterable[Any], ...],
    *,
    fail_fast: bool,
    session: Session,
    title: str,
    ahead: int | None = None,
) -> list[Any]:
    """Results of `submit` over rows, in order; at most `ahead` rows under way."""
    if isinstance(rows, str | bytes):
        raise TypeError(f"map takes a collection of rows, not a single {type(rows).__name__}")
    total = len(rows) if isinstance(rows, Sized) else None
    source: Iterable[Any] = zip(rows, *more, strict=True) if more else rows
    if ahead is None:
        ahead = 4 * max(1, model_in_force(session).capabilities.streams) if session.mode != "python" else 1
    results: list[Any] = []
    waiting: deque[Value[Any] | Failure] = deque()

    def take(tick: Callable[[bool], None]) -> None:
        one = waiting.popleft()
        index = len(results)
        if isinstance(one, Failure):
            results.append(one)
        else:
            try:
                results.append(one.result())
            except Exception as error:
                if fail_fast:
                    raise
                results.append(Failure(index, error))
        tick(isinstance(results[-1], Failure))

    with progress_bar(title, total, session.progress) as tick:
        for index, row in enumerate(source):
            try:
                args, kwargs = row_inputs(names, row, index)
                waiting.append(submit(*args, **kwargs))
            except Exception as error:
                if fail_fast:
                    raise
                waiting.append(Failure(index, error))
            if len(waiting) >= ahead:
                take(tick)
        while waiting:
            take(tick)
    return results


@contextmanager
def progress_bar(title: str, total: int | None, wanted: bool | None) -> Iterator[Callable[[bool], None]]:
    """A bar with rows, rate, failures and time left; silent when not wanted."""
    shown = wanted if wanted is not None else sys.stderr.isatty() and (total is None or total >= SHOWN_FROM)
    if not shown:
        yield lambda failed: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failures]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, failures="")
        failures = itertools.count(1)

        def tick(failed: bool) -> None:
            if failed:
                progress.update(task, failures=f"{next(failures)} failed")
            progress.advance(task)

        yield tick
