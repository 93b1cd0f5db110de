"""Handing blocks to workers: a thread of the driver for each, which records what comes and replaces a dead worker.

What a dead worker left unfinished goes back to the head of the queue. After two deaths at one block its rows go one by
one, so that a row which kills its worker is found and fails alone. Workers that die before they are ready end the run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from thalweg.errors import ClusterError, DataError
from thalweg.program.distributed.actors import Job, Made, RowActor
from thalweg.program.table_run import Progress
from thalweg.program.tables import Row

DEATHS = 3  # of workers at one row, or before one was ready, that are too many


@dataclass
class Block:
    """Rows that go to one worker, by index, with their digests; `deaths` of workers that had it."""

    rows: dict[int, tuple[Row, str]]
    deaths: int = 0


@dataclass(frozen=True)
class Placement:
    """What Ray reserves for a worker, and how long it may take to be ready."""

    cpus: float
    gpus: float
    start_seconds: float


@dataclass
class Dispatch:
    """What the threads of a run share: the blocks that wait, the workers, and the journal."""

    placement: Placement
    fail_fast: bool
    job: Job
    store: Any
    cache: bool
    progress: Progress
    watch: Callable[[Progress], None] | None
    waiting: deque[Block] = field(default_factory=deque)
    under_way: int = 0
    closed: bool = False
    stopped: bool = False
    problem: BaseException | None = None
    actors: list[Any] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, block: Block, most: int) -> bool:
        """Add a block when fewer than `most` wait; False when the run is over."""
        with self.changed:
            while len(self.waiting) >= most and not self.stopped:
                self.changed.wait(0.2)
            self.waiting.append(block)
            self.changed.notify_all()
            return not self.stopped

    def take(self) -> Block | None:
        """The next block; None when there is no more to come."""
        with self.changed:
            while not self.stopped:
                if self.waiting:
                    self.under_way += 1
                    self.changed.notify_all()
                    return self.waiting.popleft()
                if self.closed and not self.under_way:
                    break
                self.changed.wait(0.2)
            return None

    def done(self, *again: Block) -> None:
        """A block has ended; what must be computed again goes first."""
        with self.changed:
            self.under_way -= 1
            self.waiting.extendleft(reversed(again))
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def fail(self, problem: BaseException) -> None:
        with self.changed:
            if not self.stopped:
                self.problem = self.problem or problem
            self.stopped = True
            self.changed.notify_all()

    def stop(self, ray: Any) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        for actor in self.actors:
            ray.kill(actor)

    def told(self, failed: bool, *, replayed: bool = False) -> None:
        with self.changed:
            self.progress.done += 1
            self.progress.failed += failed
            self.progress.replayed += replayed
            if self.watch is not None:
                self.watch(self.progress)

    def record(self, made: Made, digest: str) -> None:
        """Write a row down, its calls before it: a recorded row is whole."""
        for call in made.calls:
            self.store.record(replace(call, run=self.job.run), cache=self.cache)
        self.store.write_row(self.job.run, made.index, digest, made.output, made.error)
        with self.changed:
            for name, amount in made.counts.items():
                setattr(self.progress.meter, name, getattr(self.progress.meter, name) + amount)
        self.told(made.error is not None)
        if made.error is not None and self.fail_fast:
            raise DataError(f"The run stops at its first failing row. {made.error}", "Correct it.", row=made.index)


def serve(state: Dispatch, ray: Any, node: str) -> None:
    """One worker's thread in the driver: give it blocks, write down what comes, start another one if it dies."""
    actor, unready = None, 0
    while (block := state.take()) is not None:
        try:
            if actor is None:
                actor = _start(state, ray, node)
            if state.stopped:
                return
            unready = 0
            for reference in actor.rows.options(num_returns="streaming").remote(
                [row for row, _ in block.rows.values()]
            ):
                for made in ray.get(reference):
                    if made.index in block.rows:
                        state.record(made, block.rows[made.index][1])
                        del block.rows[made.index]
            state.done()
        except ray.exceptions.RayTaskError as error:  # the worker lives, what it was told failed
            state.fail(error.cause if isinstance(error.cause, BaseException) else error)
            return
        except ray.exceptions.RayError as error:
            if state.stopped:
                return
            if actor is None:
                unready += 1
                if unready == DEATHS:
                    reason = (str(error).splitlines() or [repr(error)])[0]
                    state.fail(ClusterError(
                        f"{DEATHS} workers on node {node[:8]} died or found no room before they were ready: {reason}.",
                        "See `ray status` and the logs in the Ray session's folder, or ask for fewer --replicas.",
                    ))  # fmt: skip
                    return
                state.done(block)
                continue
            actor = None
            try:
                state.done(*_again(state, block))
            except BaseException as problem:
                state.fail(problem)
                return
        except BaseException as problem:
            state.fail(problem)
            return
    if actor is not None and not state.stopped:
        with suppress(ray.exceptions.RayError):
            ray.get(actor.close.remote(), timeout=10)


def _start(state: Dispatch, ray: Any, node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    placement = state.placement
    made = ray.remote(RowActor).options(
        num_cpus=placement.cpus, num_gpus=placement.gpus, max_restarts=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
    ).remote(state.job)  # fmt: skip
    with state.changed:
        state.actors.append(made)
    try:
        ray.get(made.prepare.remote(), timeout=placement.start_seconds)
    except BaseException:
        ray.kill(made)
        raise
    return made


def _again(state: Dispatch, block: Block) -> list[Block]:
    """What is left of a block whose worker died. After two deaths rows go one by one, so that one that kills every
    worker is found, and fails alone."""
    deaths = block.deaths + 1
    if len(block.rows) == 1 and deaths >= DEATHS:
        ((index, (_, digest)),) = block.rows.items()
        text = (
            f"ClusterError: row {index}: {DEATHS} workers died while they computed it. Look at what it makes them do."
        )
        state.record(Made(index, None, text, (), {}), digest)
        return []
    if len(block.rows) > 1 and deaths == DEATHS - 1:
        return [Block({index: row}, 1) for index, row in block.rows.items()]
    return [Block(block.rows, deaths)] if block.rows else []
