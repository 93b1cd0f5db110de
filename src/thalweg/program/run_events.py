"""Events of a durable run, read from its journal: the same while it runs, afterwards, and in another process.

A call is `Started` when the journal first shows it or something inside it, and `Finished` with the JSON form of its
value (or `Failed`). Calls come in the order in which they were written down. Open questions and write effects under
way show as started. Cost: one indexed query a look, some ten looks a second while nothing happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from thalweg.program import run_store
from thalweg.program.events import Finished, Started
from thalweg.program.store import Store

LOOK_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class Failed:
    """A call that failed, or with the path "" the run. `error` is "Class: message"."""

    path: str
    error: str


def journal_events(store: Store, run: str, over: Callable[[], bool], wait: Callable[[float], Any]
                   ) -> Iterator[Started | Finished | Failed]:  # fmt: skip
    """Events of the calls of a run, until it is `over`."""
    last: tuple[int, str, float] | None = None
    told: set[tuple[str, float]] = set()
    started: dict[str, None] = {}
    while True:
        ended = over()  # asked first: what is written before the end is told
        if last is not None and not run_store.stands(store, run, *last):
            last = None  # the newest rows were taken back, and their numbers given anew
        fresh = run_store.calls_after(store, run, last[0] if last else 0)
        for _, call in fresh:
            if (call.path, call.started) in told:
                continue
            told.add((call.path, call.started))
            yield from _begin(call.path, started)
            if call.error is not None:
                yield Failed(call.path, call.error)
            else:
                yield Finished(call.path, json.loads(call.value) if call.value is not None else None)
            del started[call.path]
        if fresh:
            number, call = fresh[-1]
            last = number, call.path, call.started
        for path in (*run_store.intents(store, run), *(one.path for one in run_store.questions(store, run))):
            yield from _begin(path, started)
        if ended:
            return
        wait(LOOK_EVERY)


def _begin(path: str, started: dict[str, None]) -> Iterator[Started]:
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        whole = "/".join(parts[:end])
        if whole not in started:
            started[whole] = None
            yield Started(whole)


__all__ = ["Failed", "journal_events"]
