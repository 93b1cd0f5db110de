"""SuccessiveHalving: many genomes on few examples, the best third of them on three times as many, and so on.

Choose it where one evaluation is expensive and bad genomes show early: for the price of nine whole evaluations it looks
at dozens. Examples grow, they are not exchanged, so nothing that was scored is asked again. With `brackets`, later
rounds begin with fewer genomes on more examples, in case the early ones mislead (Hyperband). Source: Jamieson &
Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"; Li et al. 2018, "Hyperband".
Cost: `rungs` times the cost of its first rung, a round; goes on with new rounds.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from thalweg.optimizing.algorithms.algorithm import check_least
from thalweg.optimizing.algorithms.random_search import RandomSearch
from thalweg.program.spaces import Genome, Space


@dataclass(frozen=True)
class SuccessiveHalving:
    """Rounds of halving.

    Args:
        rungs: how often a genome is looked at before it has seen all examples. rate: how many times fewer genomes there
            are, and more examples, from rung to rung; a round begins with ``rate ** (rungs - 1)`` genomes.
        brackets: let later rounds begin at higher rungs (Hyperband). draws: the algorithm that genomes come from; it is
            told the scores that count all examples.
    """

    rungs: int = 3
    rate: int = 3
    brackets: bool = False
    draws: Any = field(default_factory=RandomSearch)
    name: str = "SuccessiveHalving"

    def __post_init__(self) -> None:
        check_least(self, 1, "rungs")
        check_least(self, 2, "rate")

    def start(self, space: Space, rng: random.Random) -> _Halving:
        return _Halving(self, self.draws.start(space, rng))


class _Halving:
    def __init__(self, config: SuccessiveHalving, draws: Any) -> None:
        self._config, self._draws = config, draws
        self._round = 0
        self._rung = config.rungs  # none is under way
        self._left: list[Genome] = []
        self._owed: list[Genome] = []
        self._scores: list[tuple[float, int, Genome]] = []

    def ask(self, n: int = 1) -> list[Genome]:
        if not self._left and not self._owed:
            self._go_on()
        made, self._left = self._left[:n], self._left[n:]
        self._owed += made
        return made

    def share(self, genome: Genome) -> float:
        """The share of the examples that it is to be scored on now."""
        return float(self._config.rate) ** (self._rung - self._config.rungs + 1)

    def tell(self, genome: Genome, score: float) -> None:
        if genome not in self._owed:
            return
        self._owed.remove(genome)
        self._scores.append((score, -len(self._scores), genome))
        if self._rung == self._config.rungs - 1:
            self._draws.tell(genome, score)

    def _go_on(self) -> None:
        config = self._config
        if self._rung + 1 < config.rungs and self._scores:
            kept = max(1, len(self._scores) // config.rate)
            self._rung += 1
            self._left = [one for _, _, one in sorted(self._scores, key=lambda it: it[:2], reverse=True)[:kept]]
        else:
            first = self._round % config.rungs if config.brackets else 0
            self._round += 1
            self._rung = first
            levels = config.rungs - first
            count = config.rate ** (levels - 1)
            if config.brackets:  # about as many evaluations in every bracket
                count = math.ceil(config.rungs / levels * count)
            drawn: dict[Genome, None] = {}
            for _ in range(4):  # a small space has fewer
                drawn |= dict.fromkeys(self._draws.ask(count - len(drawn)))
                if len(drawn) >= count:
                    break
            self._left = list(drawn)
        self._scores = []
