"""Many rows at once: submit ahead of the model, keep order, keep failures beside results, show progress."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
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
    planned: Planned | None = None,
) -> list[Any]:
    """Results of `submit` over rows, in order; at most `ahead` rows under way.

    Args:
        planned: begins rows in an order of its own, where all rows are at hand.
    """
    if isinstance(rows, str | bytes):
        raise TypeError(f"map takes a collection of rows, not a single {type(rows).__name__}")
    total = len(rows) if isinstance(rows, Sized) else None
    source: Iterable[Any] = zip(rows, *more, strict=True) if more else rows
    if ahead is None:
        ahead = 4 * max(1, model_in_force(session).capabilities.streams) if session.mode != "python" else 1
    results: dict[int, Any] = {}
    waiting: deque[tuple[int, Value[Any] | Failure]] = deque()

    def take(tick: Callable[[bool], None]) -> None:
        index, one = waiting.popleft()
        if isinstance(one, Failure):
            results[index] = one
        else:
            try:
                results[index] = one.result()
            except Exception as error:
                if fail_fast:
                    raise
                results[index] = Failure(index, error)
        tick(isinstance(results[index], Failure))

    def begin(index: int, args: Any, kwargs: Any, place: Callable[..., Value[Any]]) -> None:
        try:
            waiting.append((index, place(*args, **kwargs)))
        except Exception as error:
            if fail_fast:
                raise
            waiting.append((index, Failure(index, error)))

    window = planned.window if planned is not None and total is not None and total > ahead else 1
    rest = enumerate(source)
    with progress_bar(title, total, session.progress) as tick:
        while chunk := list(itertools.islice(rest, window)):
            calls: list[tuple[int, tuple[Any, ...], dict[str, Any]]] = []
            for index, row in chunk:
                try:
                    calls.append((index, *row_inputs(names, row, index)))
                except Exception as error:
                    if fail_fast:
                        raise
                    waiting.append((index, Failure(index, error)))
            places = [submit] * len(calls)
            order = range(len(calls))
            if planned is not None and window > 1:
                order, places = planned.plan([(args, kwargs) for _, args, kwargs in calls])
            for i in order:
                begin(*calls[i], places[i])
                while len(waiting) >= ahead:
                    take(tick)
        while waiting:
            take(tick)
    return [results[index] for index in range(len(results))]


@dataclass(frozen=True)
class Planned:
    """How many rows are planned together, and the plan of one window: from (args, kwargs) of its rows, the order in
    which they begin and the `submit` of each, made in the rows' own order."""

    window: int
    plan: Callable[[list[tuple[Any, Any]]], tuple[Sequence[int], list[Callable[..., Value[Any]]]]]


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
