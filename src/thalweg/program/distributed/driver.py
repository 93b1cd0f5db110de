"""`RayTableRun`: a table run whose rows are computed by workers on a Ray cluster.

The driver plans windows of rows, cuts them into blocks that never part a prefix group, and hands each free worker the
next block. It alone writes the journal: a row is recorded as soon as it arrives. A worker that dies loses the rows
under way, which another one gets; a driver that dies is given the same command again and goes on. Run identity,
journal and output are those of `TableRun`, so either may finish what the other began.

Plain actors rather than Ray Data's `map_batches`: there a block's rows arrive when the whole block is done, and a
worker's death repeats them all (measured by `thalweg bench scheduling.ray`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, UnsupportedByBackend
from thalweg.program.distributed.actors import Job, Made
from thalweg.program.distributed.blocks import cut, prefix_groups
from thalweg.program.distributed.cluster import cluster
from thalweg.program.distributed.dispatch import Block, Dispatch, Placement, serve
from thalweg.program.distributed.shipment import Shipment, settings_said
from thalweg.program.journal import Meter
from thalweg.program.row_order import plannable
from thalweg.program.session import current, model_in_force, schedule_in_force, store_in_force
from thalweg.program.table_rows import count_rows, described, next_window, row_digest, write_row
from thalweg.program.table_run import Progress, Summary, TableRun
from thalweg.program.tables import Row, TableWriter, check_writable

MOST_BLOCK = 256  # rows of a block


@dataclass(frozen=True)
class RayTableRun:
    """A `TableRun` on a Ray cluster.

    Args:
        table: what is run.
        on: ``ray``, or ``ray:ADDRESS`` (see `cluster`).
        replicas: workers; default one a node.
        block_rows: most rows of a block, larger prefix groups excepted; default a quarter of a worker's share.
        cpus, gpus: what Ray reserves for a worker.
        load: makes the model on a worker; default: the session's model by its name.
        grouped: keep prefix groups together; without it blocks are cut in row order, which serves as a comparison.
        start_seconds: how long a worker may take to be placed and to load the model.
    """

    table: TableRun
    on: str = "ray"
    replicas: int | None = None
    block_rows: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    load: Callable[[], Any] | None = None
    grouped: bool = True
    start_seconds: float = 600.0

    def run(
        self, *, fresh: bool = False, retry_failed: bool = False, watch: Callable[[Progress], None] | None = None
    ) -> Summary:
        """Run to the end, or from where an earlier run stopped; arguments and summary as of `TableRun.run`.

        Raises:
            ClusterError: no cluster, or its workers die before they are ready.
            UnsupportedByBackend: program or settings cannot be sent to other machines.
        """
        table, wiring = self.table._open()
        check_writable(self.table.output)
        session = self.table._session()
        model = model_in_force(session)
        columns = self.table._output_columns(table)
        job = self._job(self.table._identity(table, model), wiring, model)
        store = store_in_force(session)
        for left in Path(self.table.output).parent.glob(f".{Path(self.table.output).name[:50]}.*.part"):
            left.unlink(missing_ok=True)
        if fresh:
            store.forget(job.run)
        info = {"input": str(self.table.input), "output": str(self.table.output), "model": model.identity}
        resuming = store.begin(job.run, self.table.program.name, model.identity, info) is not None
        progress = Progress(count_rows(table, self.table.limit), meter=Meter())
        started = time.time()
        state = Dispatch(self.worker, self.table.fail_fast, job, store, session.cache is not False, progress, watch)
        interrupted = False
        with cluster(self.on) as ray:
            nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
            count = self.replicas or len(nodes)
            size = self.block_rows or max(1, min(MOST_BLOCK, (progress.total or 0) // (4 * count)))
            slots = [
                threading.Thread(target=serve, args=(state, ray, nodes[i % len(nodes)]), name=f"slot {i}")
                for i in range(count)
            ]
            for slot in slots:
                slot.start()
            try:
                for block in self._blocks(table, wiring, session, model, state, resuming, retry_failed, size):
                    if not state.put(block, most=2 * count):
                        break
                state.close()
                for slot in slots:
                    while slot.is_alive():
                        slot.join(0.2)  # so that an interruption is noticed
            except KeyboardInterrupt:
                interrupted = True
            finally:
                state.stop(ray)
                for slot in slots:
                    slot.join()
        if state.problem is not None:
            raise state.problem
        if not interrupted:
            self._write(table, columns, store, job.run, progress)
            store.finish(job.run, "finished")
        return Summary(
            self.table.output, progress.done, progress.failed, progress.replayed, time.time() - started,
            progress.meter, not interrupted, job.run,
        )  # fmt: skip

    @property
    def worker(self) -> Placement:
        return Placement(self.cpus, self.gpus, self.start_seconds)

    # -- before ---------------------------------------------------------------------------------------------------

    def _job(self, run: str, wiring: dict[str, str], model: Any) -> Job:
        said = current()
        if self.table._session().labels is not None:
            raise UnsupportedByBackend("Labels do not reach other machines.", "Run the table without --on.")
        if self.load is None and said.model is not None and not isinstance(said.model, str):
            raise UnsupportedByBackend(
                f"{model.name} is an object of this process, which workers do not have.",
                "Give the model by its name, or pass `load`, which makes it on a worker.",
            )
        shipment = Shipment.of(self.table.program)
        name = said.model if isinstance(said.model, str) else None
        return Job(run, shipment, wiring, settings_said(said), name, model.identity, self.load)

    def _blocks(
        self, table: Any, wiring: dict[str, str], session: Any, model: Any, state: Dispatch, resuming: bool,
        retry_failed: bool, size: int,
    ) -> Iterator[Block]:  # fmt: skip
        """Blocks of the rows that are not recorded yet; broken rows and recorded ones are dealt with here."""
        plans = self.grouped and plannable(model, schedule_in_force(session, model))
        rows = enumerate(table)
        while window := next_window(rows, True):
            new: list[tuple[Row, str]] = []
            for _, row in window:
                digest = row_digest(row)
                known = state.store.row(state.job.run, row.index) if resuming else None
                if known is not None and known[0] == digest and not (retry_failed and known[2]):
                    state.told(known[2] is not None, replayed=True)
                elif row.error is not None:
                    state.record(Made(row.index, None, described(row.error, row.index), (), {}), digest)
                else:
                    new.append((row, digest))
            groups = [(index,) for index in range(len(new))]
            if plans and len(new) > 1:
                known_rows = [self.table._known(row, wiring) or {} for row, _ in new]
                groups = prefix_groups(self.table.program, known_rows, session, model)
            for members in cut(groups, size):
                yield Block({new[i][0].index: new[i] for i in members})

    # -- after ----------------------------------------------------------------------------------------------------

    def _write(self, table: Any, columns: Any, store: Any, run: str, progress: Progress) -> None:
        """The output from the journal, in input order. Reading the table again keeps memory from growing with it."""
        with TableWriter(self.table.output, columns.columns) as writer:
            for row in table:
                found = store.row(run, row.index)
                if found is None or found[0] != row_digest(row):
                    raise DataError(
                        f"Row {row.index} of {self.table.input} changed while it was run.",
                        "Give the same command again when the table is at rest.",
                        row=row.index,
                    )
                _, output, error = found
                progress.failed += write_row(writer, columns, row, output, error)
