"""First come, first served. Choose it as a baseline, or where requests share nothing and fairness is all."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.scheduling.policies.queue import Queue
from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits


class FCFS(Queue):
    """The order of submission."""

    name = "fcfs"
    reads_prompts = False

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        first = next(self.first(), None)
        if first is None or not emptiest(seat, seats):
            return None
        return first if fits(first, seat) else None
