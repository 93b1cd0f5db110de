"""`RowActor`: one worker of a distributed table run. Loads the model once and computes blocks of rows.

Rows of a block run side by side in threads, in the block's order, so that the engine batches their calls and finds
their shared beginnings in its cache. A finished row leaves at once through a streaming generator, together with the
records of its calls: if the process dies, only rows that were under way are computed again.
"""

from __future__ import annotations

import contextvars
import json
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import ModelError, StoreError
from thalweg.program.distributed.shipment import Shipment
from thalweg.program.store import Call, Store
from thalweg.program.tables import Row

GATHERED = 64  # rows that leave together at most, if they are finished together


@dataclass(frozen=True)
class Job:
    """What all workers of a run are told."""

    run: str
    shipment: Shipment
    wiring: dict[str, str]
    settings: Mapping[str, Any]
    model: str | None
    identity: str
    load: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Made:
    """A finished row: its output (packed JSON) or the reason why there is none, its calls, its counters."""

    index: int
    output: str | None
    error: str | None
    calls: tuple[Call, ...]
    counts: dict[str, int]


class GatheringStore(Store):
    """A worker's store: its own cache of answers, and records of calls that are kept only until their row leaves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._gathered: dict[str, list[Call]] = {}

    def record(
        self, call: Call, *, cache: bool = False, failure: str | None = None, position: int | None = None,
        later: bool = False,
    ) -> None:  # fmt: skip
        with self._lock:
            self._gathered.setdefault(call.run, []).append(call)
        if cache and call.key and call.answer and not call.error:
            self.remember(call.key, call.answer, call.model or "")

    def forget_calls(self, run: str, paths: Sequence[str]) -> None:
        with self._lock:
            self._gathered[run] = [call for call in self._gathered.get(run, []) if call.path not in paths]

    def taken(self, run: str) -> tuple[Call, ...]:
        """The calls of a run, oldest first, which are then forgotten."""
        with self._lock:
            return tuple(self._gathered.pop(run, ()))


class RowActor:
    """A process on a node of the cluster (`ray.remote` makes it one)."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def prepare(self) -> tuple[str, int]:
        """Load model and program. Returns the node's id and the rows that run side by side."""
        import ray

        from thalweg.program.output_columns import OutputColumns
        from thalweg.program.session import configure, current, model_in_force
        from thalweg.program.table_run import TableRun

        job = self.job
        self.folder = Path(tempfile.mkdtemp(prefix=f"thalweg-worker-{job.run}-"))
        self.store = GatheringStore(self.folder / "store")
        model = job.load() if job.load is not None else job.model
        configure(**job.settings, model=model, store=self.store, progress=False)
        program = job.shipment.open(self.folder / "program")
        session = program.own.over(current())
        self.model = model_in_force(session)
        if self.model.identity != job.identity:
            raise ModelError(
                f"This worker's model is {self.model.identity}, the driver's is {job.identity}.",
                "Install the same versions and the same weights on every machine.",
            )
        self.table = TableRun(program, Path("input"), Path("output"))
        self.columns = OutputColumns.of(program, [], None)  # type: ignore[arg-type]  # no input columns are kept here
        self.side_by_side = session.concurrency or min(64, 2 * max(1, self.model.capabilities.streams))
        self.pool = ThreadPoolExecutor(self.side_by_side, thread_name_prefix="row")
        return ray.get_runtime_context().get_node_id(), self.side_by_side

    def rows(self, rows: Sequence[Row]) -> Iterator[list[Made]]:
        """Compute a block; rows come as they are finished."""
        done: queue.SimpleQueue[Made | BaseException] = queue.SimpleQueue()
        stopped = threading.Event()

        def one(row: Row) -> None:
            if stopped.is_set():
                return
            try:
                done.put(self._row(row))
            except BaseException as problem:
                done.put(problem)

        for row in rows:
            self.pool.submit(contextvars.copy_context().run, one, row)
        left = len(rows)
        try:
            while left:
                together = [done.get()]
                while len(together) < GATHERED and not done.empty():
                    together.append(done.get())
                left -= len(together)
                for made in together:
                    if isinstance(made, BaseException):
                        raise made
                yield together  # type: ignore[misc]
        finally:
            stopped.set()

    def close(self) -> None:
        """Remove what this worker has on the disk."""
        self.pool.shutdown()
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _row(self, row: Row) -> Made:
        from thalweg.program.hints import hinted
        from thalweg.program.journal import Meter, Scope, inside
        from thalweg.program.session import using
        from thalweg.program.table_rows import described

        own = f"{self.job.run}/{row.index}"  # a run of its own, so that its calls are found together
        meter = Meter()
        scope = Scope(own, f"row {row.index}/", False, meter)
        output = text = None
        try:
            arguments = self.table._arguments(row, self.job.wiring)
            with using(journal=True), inside(scope), hinted(app=self.job.run):
                result = self.table.program(**arguments)
            output = json.dumps(self.columns.pack(result, scope.tokens, scope.confidence))
        except StoreError:
            raise  # of the whole worker, not of this row
        except Exception as problem:
            text = described(problem, row.index)
        calls = self.store.taken(own)
        counts = {name: value for name, value in vars(meter).items() if not name.startswith("_")}
        return Made(row.index, output, text, calls, counts)
