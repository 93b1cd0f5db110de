"""First come, first served. Choose it as a baseline, or where requests share nothing and fairness is all."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits


class FCFS:
    """The order of submission."""

    name = "fcfs"
    reads_prompts = False

    def __init__(self) -> None:
        self._queue: dict[int, Waiting] = {}

    def push(self, waiting: Waiting) -> None:
        self._queue[waiting.number] = waiting

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        if not self._queue or not emptiest(seat, seats):
            return None
        first = next(iter(self._queue.values()))
        return first if fits(first, seat) else None

    def remove(self, waiting: Waiting) -> None:
        del self._queue[waiting.number]

    def waiting(self) -> list[Waiting]:
        return list(self._queue.values())

    def __len__(self) -> int:
        return len(self._queue)
