"""What waits, in lexicographic order of prompt tokens: equal beginnings follow each other.

The honest baseline of every prefix-aware policy: it needs no tree, and where the whole workload waits it reaches the
same sharing. It knows nothing of answers' lengths, of several workers, or of who waits for what.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from thalweg.scheduling.policy import Seat, Waiting, emptiest, fits


class Sorted:
    """The order of prompt tokens, then of submission."""

    name = "sorted"
    reads_prompts = True

    def __init__(self) -> None:
        self._order: list[tuple[list[int], int, Waiting]] = []  # numbers differ, so requests are never compared

    def push(self, waiting: Waiting) -> None:
        insort(self._order, (waiting.prompt, waiting.number, waiting))

    def choose(self, seat: Seat, seats: Sequence[Seat]) -> Waiting | None:
        if not self._order or not emptiest(seat, seats):
            return None
        first = self._order[0][2]
        return first if fits(first, seat) else None

    def remove(self, waiting: Waiting) -> None:
        at = bisect_left(self._order, (waiting.prompt, waiting.number))
        del self._order[at]

    def waiting(self) -> list[Waiting]:
        return sorted((one for _, _, one in self._order), key=lambda one: one.number)

    def __len__(self) -> int:
        return len(self._order)
