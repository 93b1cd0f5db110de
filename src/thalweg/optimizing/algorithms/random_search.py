"""RandomSearch: genomes drawn at random, each without regard to the others.

Choose it as the baseline of every other algorithm, and where fewer than about 20 genomes are affordable: nothing else
has learned anything by then. Source: Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization". Cost:
about 20 microseconds a proposal of ten choices.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from thalweg.program.spaces import Genome, Space


@dataclass(frozen=True)
class RandomSearch:
    """Independent draws.

    Args:
        over: ``choices``: the options of every choice are equally likely; ``leaves``: all genomes are (see
            `Space.draw`).
    """

    over: Literal["choices", "leaves"] = "choices"
    name: str = "RandomSearch"

    def start(self, space: Space, rng: random.Random) -> _Drawing:
        return _Drawing(space, rng, self.over)


class _Drawing:
    def __init__(self, space: Space, rng: random.Random, over: str) -> None:
        self._space, self._rng, self._over = space, rng, over

    def ask(self, n: int = 1) -> list[Genome]:
        return [self._space.draw(self._rng, over=self._over) for _ in range(n)]

    def tell(self, genome: Genome, score: float) -> None:
        pass
