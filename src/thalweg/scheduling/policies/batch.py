"""Throughput-oriented admission: what shares the longest beginning with the worker's own cache, long answers first.

Requests of one prefix group meet on one worker, so their prefix is computed once and stays cached while the group
runs; a worker without a group takes one that no other worker is at. Within a group longer answers go first, because
their tails then overlap the reading of later prompts. Admission is by memory: a request enters when the cells it will
hold until it ends are there. A planned `rank` (see `thalweg.scheduling.plan_batch`) decides between groups.

Source: Zheng et al. 2024, "BatchLLM: Optimizing Large Batched LLM Inference with Global Prefix Sharing and
Throughput-oriented Token Batching". Cost: some microseconds for each of the first `LOOKED_AT` requests of the queue.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.models.bounds import common
from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits

LOOKED_AT = 256  # requests of the queue that are compared with a worker's cache
PASSED_OVER = 512  # admissions after which the oldest request is taken whatever it shares


class Batch:
    """Prefix groups stay together, on one worker."""

    name = "batch"
    reads_prompts = True

    def __init__(self) -> None:
        self._queue: dict[int, Waiting] = {}
        self._shared: dict[tuple[int, int], tuple[int, int]] = {}  # (worker, request) -> (prompts seen, tokens shared)
        self._admitted = self._workers = 0
        self._came: dict[int, int] = {}  # request -> admissions there had been when it came

    def push(self, waiting: Waiting) -> None:
        self._queue[waiting.number] = waiting
        self._came[waiting.number] = self._admitted

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        if not self._queue or not emptiest(seat, seats):
            return None
        oldest = next(iter(self._queue.values()))
        if self._admitted - self._came[oldest.number] > PASSED_OVER:
            return oldest if fits(oldest, seat) else None
        self._workers = max(self._workers, len(seats))
        best, found = None, None
        for _, waiting in zip(range(LOOKED_AT), self._queue.values(), strict=False):
            own = self._with(seat, waiting)
            others = max((self._with(other, waiting) for other in seats if other is not seat), default=0)
            hint = waiting.request.hint
            key = (hint.objective == "latency", own - others, -hint.rank, waiting.expected, -waiting.number)
            if (best is None or key > best) and fits(waiting, seat, shared=own):
                best, found = key, waiting
        return found

    def remove(self, waiting: Waiting) -> None:
        del self._queue[waiting.number]
        del self._came[waiting.number]
        self._admitted += 1
        for worker in range(self._workers):
            self._shared.pop((worker, waiting.number), None)

    def waiting(self) -> list[Waiting]:
        return list(self._queue.values())

    def __len__(self) -> int:
        return len(self._queue)

    def _with(self, seat: Seat, waiting: Waiting) -> int:
        """Tokens that `waiting` shares with what the worker's cache holds; compared once with each admitted prompt."""
        key = seat.worker, waiting.number
        seen, shared = self._shared.get(key, (0, 0))
        if seen < seat.admitted:
            for prompt in seat.recent[-(seat.admitted - seen) :]:
                shared = max(shared, common(prompt, waiting.prompt))
            self._shared[key] = seat.admitted, shared
        return shared
