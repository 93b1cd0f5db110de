"""Which durable runs there are and how they stand: what the store says, and the truth about their processes.

A run whose process was killed is "running" in the store; that nobody holds its lock tells that it is "interrupted".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.errors import DataError
from thalweg.program import run_store
from thalweg.program.run_lock import RunLock
from thalweg.program.session import current, settings, store_in_force
from thalweg.program.store import Store

Status = Literal["running", "waiting", "finished", "failed", "interrupted"]
ACTIVE: dict[tuple[str, str], Any] = {}  # runs that this process works on or waits for, by (store, id)


@dataclass(frozen=True)
class RunInfo:
    """A run as the store knows it. Times in seconds since 1970."""

    id: str
    flow: str
    status: Status
    started: float
    finished: float | None
    error: str | None = None


def runs(*, store: Any = None) -> list[RunInfo]:
    """The durable runs in the store, newest first."""
    place = store_in_force(settings(store=store).over(current()) if store is not None else current())
    found = []
    for row in run_store.rows(place):
        failure = run_store.outcome(place, row.run)[1] if row.status == "failed" else None
        record = json.loads(failure) if failure else None
        error = f"{record['class'].rpartition(':')[2]}: {record['text']}" if record else None
        found.append(RunInfo(row.run, row.info["flow"], status_of(place, row.run), row.started, row.finished, error))
    return found


def status_of(store: Store, id: str) -> Status:
    """The status of a run, the truth about its process included."""
    row = run_store.row(store, id)
    if row is None:
        raise DataError(f"There is no run {id!r} in {store.file}.", "List them with `thalweg runs`.")
    if row.finished is not None:
        return row.status  # type: ignore[return-value]
    if any(one.answer is None for one in run_store.questions(store, id)):
        return "waiting"
    works = (str(store.file), id) in ACTIVE or RunLock(store.folder, id).is_held()
    return "running" if works else "interrupted"


__all__ = ["ACTIVE", "RunInfo", "Status", "runs", "status_of"]
