"""Throughput-oriented admission: what shares the longest beginning with the worker's own cache, long answers first.

Requests of one prefix group meet on one worker, so their prefix is computed once and stays cached while the group
runs; a worker without a group takes one that no other worker is at. Within a group longer answers go first, because
their tails then overlap the reading of later prompts. Admission is by memory: a request enters when the cells it will
hold until it ends are there. A planned `rank` (see `thalweg.scheduling.plan_batch`) decides between groups.

Source: Zheng et al. 2024, "BatchLLM: Optimizing Large Batched LLM Inference with Global Prefix Sharing and
Throughput-oriented Token Batching". Cost: some microseconds for each of the first requests of the queue.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.scheduling.policies.queue import Queue
from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits


class Batch(Queue):
    """Prefix groups stay together, on one worker."""

    name = "batch"
    reads_prompts = True

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        if not len(self) or not emptiest(seat, seats):
            return None
        overdue = self.overdue()
        if overdue is not None:
            return overdue if fits(overdue, seat) else None
        best, found = None, None
        for waiting in self.first():
            own = self.shared(seat, waiting)
            others = max((self.shared(other, waiting) for other in seats if other is not seat), default=0)
            hint = waiting.request.hint
            key = (hint.objective == "latency", own - others, -hint.rank, waiting.expected, -waiting.number)
            if (best is None or key > best) and fits(waiting, seat, shared=own):
                best, found = key, waiting
        return found
