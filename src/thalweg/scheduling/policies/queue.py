"""`Queue`: what waits, in the order of submission, and what each of it shares with the workers' caches.

The part that policies which look at prompts have in common; what they differ in is who goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from thalweg.models.bounds import common
from thalweg.scheduling.policy import Seat, Waiting

LOOKED_AT = 256  # requests of the queue that are compared with a worker's cache
PASSED_OVER = 512  # admissions after which the oldest request is taken whatever it is


class Queue:
    """Requests that wait."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._came: dict[int, int] = {}  # request -> admissions there had been when it came
        self._shared: dict[int, dict[int, tuple[int, int]]] = {}  # request -> worker -> (prompts seen, tokens shared)
        self._admitted = 0

    def push(self, waiting: Waiting) -> None:
        self._waiting[waiting.number] = waiting
        self._came[waiting.number] = self._admitted
        self._shared[waiting.number] = {}

    def remove(self, waiting: Waiting) -> None:
        for table in (self._waiting, self._came, self._shared):
            del table[waiting.number]
        self._admitted += 1

    def first(self) -> Iterator[Waiting]:
        """The oldest requests, as many as are worth looking at."""
        return islice(self._waiting.values(), LOOKED_AT)

    def overdue(self) -> Waiting | None:
        """The oldest request, if so many others were admitted before it that it must be next."""
        oldest = next(iter(self._waiting.values()))
        return oldest if self._admitted - self._came[oldest.number] > PASSED_OVER else None

    def shared(self, seat: Seat, waiting: Waiting) -> int:
        """Tokens that `waiting` shares with what the worker's cache holds; compared once with each admitted prompt."""
        known = self._shared[waiting.number]
        seen, shared = known.get(seat.worker, (0, 0))
        if seen < seat.admitted:
            for prompt in seat.recent[-(seat.admitted - seen) :]:
                shared = max(shared, common(prompt, waiting.prompt))
            known[seat.worker] = seat.admitted, shared
        return shared

    def waiting(self) -> list[Waiting]:
        return list(self._waiting.values())

    def __len__(self) -> int:
        return len(self._waiting)
