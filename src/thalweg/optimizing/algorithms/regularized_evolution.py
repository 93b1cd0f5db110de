"""RegularizedEvolution: mutants of the best of a few, in a population that forgets its oldest.

Choose it for large spaces of discrete choices and budgets of some hundred genomes: nothing is modelled, every proposal
costs microseconds, and since the old die however good they were, a lucky score does not stay. Source: Real et al. 2019,
"Regularized Evolution for Image Classifier Architecture Search" (aging evolution). Cost: about 30 microseconds a
proposal of ten choices.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from thalweg.errors import SearchError
from thalweg.optimizing.algorithms.algorithm import check_least
from thalweg.program.spaces import Genome, Space


@dataclass(frozen=True)
class RegularizedEvolution:
    """Aging evolution.

    Args:
        population: how many live at once; as many are drawn at random first. tournament: how many are drawn (with
            replacement) to have the best of them mutated. crossover: share of children with a second parent, chosen
            likewise, before they are mutated (0 in the source).
    """

    population: int = 50
    tournament: int = 10
    crossover: float = 0.0
    name: str = "RegularizedEvolution"

    def __post_init__(self) -> None:
        check_least(self, 1, "population", "tournament")
        if not 0 <= self.crossover <= 1:
            raise SearchError(f"{self.name} got crossover={self.crossover!r}.", "Give a share from 0 to 1.")

    def start(self, space: Space, rng: random.Random) -> _Evolving:
        return _Evolving(self, space, rng)


class _Evolving:
    def __init__(self, config: RegularizedEvolution, space: Space, rng: random.Random) -> None:
        self._config, self._space, self._rng = config, space, rng
        self._alive: deque[tuple[float, Genome]] = deque(maxlen=config.population)
        self._drawn = 0

    def ask(self, n: int = 1) -> list[Genome]:
        return [self._next() for _ in range(n)]

    def tell(self, genome: Genome, score: float) -> None:
        self._alive.append((score, genome))  # the oldest falls out

    def _next(self) -> Genome:
        if self._drawn < self._config.population or not self._alive:
            self._drawn += 1
            return self._space.draw(self._rng)
        parent = self._winner()
        if self._config.crossover and self._rng.random() < self._config.crossover:
            parent = parent.crossover(self._winner(), self._rng)
        return parent.mutate(self._rng)

    def _winner(self) -> Genome:
        alive, rng = self._alive, self._rng
        best = alive[int(rng.random() * len(alive))]
        for _ in range(self._config.tournament - 1):
            other = alive[int(rng.random() * len(alive))]
            if other[0] > best[0]:
                best = other
        return best[1]
