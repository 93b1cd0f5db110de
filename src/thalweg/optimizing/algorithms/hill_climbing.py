"""HillClimbing: from a random genome to a better neighbour, and so on; from a new start where none is better.

Choose it for spaces in which good genomes lie beside each other, and budgets of a few dozen. It goes to the first
neighbour that is better, in random order, and never asks for a genome twice in one climb. Source: the oldest method
there is; see Russell & Norvig, "Artificial Intelligence", section 4.1 (random-restart, first-choice). Cost: tens of
microseconds a proposal.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from thalweg.program.spaces import Genome, Space


@dataclass(frozen=True)
class HillClimbing:
    """First-choice hill climbing with restarts.

    Args:
        default_first: begin the first climb at the space's default (the program as it is, or the best so far), instead
            of anywhere.
    """

    default_first: bool = True
    name: str = "HillClimbing"

    def start(self, space: Space, rng: random.Random) -> _Climbing:
        return _Climbing(space, rng, self.default_first)


class _Climbing:
    def __init__(self, space: Space, rng: random.Random, default_first: bool) -> None:
        self._space, self._rng = space, rng
        self._here: tuple[Genome, float] | None = None
        self._start = space.default() if default_first else space.draw(rng)
        self._asked = False  # for the start
        self._left: list[Genome] = []
        self._seen: set[Genome] = set()
        self._owed = 0

    def ask(self, n: int = 1) -> list[Genome]:
        made: list[Genome] = []
        while len(made) < n:
            if self._here is None:
                if self._asked:
                    break  # where the climb begins must be scored first
                self._asked = True
                made.append(self._start)
            elif self._left:
                made.append(self._left.pop())
            elif self._owed + len(made):
                break  # a neighbour that is not scored yet may be better
            else:
                self._here, self._asked, self._start = None, False, self._space.draw(self._rng)
                self._seen = set()
        self._seen.update(made)
        self._owed += len(made)
        return made

    def tell(self, genome: Genome, score: float) -> None:
        self._owed = max(0, self._owed - 1)
        if self._here is None or score > self._here[1]:
            self._here = (genome, score)
            near = self._space.neighbours(genome, self._rng.getrandbits(32))
            self._left = [one for one in near if one not in self._seen]
            self._rng.shuffle(self._left)
