"""TPE: genomes that are likely among the good ones and unlikely among the others (tree-structured Parzen estimator).

Choose it for budgets from 20 to some hundred genomes, for numbers, and for conditional spaces. Both densities are
mixtures of one kernel a genome over all choices at once, so that what is good together stays together; a choice that
was not open in an old genome counts as unknown there. A proposal is the best of `candidates` draws by the ratio of the
densities that was not proposed before. Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization";
joint kernels: Falkner et al. 2018, "BOHB". Cost: about a millisecond a proposal, growing with the number of scores.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.algorithms.algorithm import check_least
from thalweg.optimizing.algorithms.grid import deciders_first
from thalweg.optimizing.algorithms.kernels import Kernel, kernel_of
from thalweg.program.spaces import Genome, Space

_MOST_GOOD = 25


@dataclass(frozen=True)
class TPE:
    """A tree-structured Parzen estimator.

    Args:
        startup: genomes drawn at random first. good: share of the scores that count as good (at most 25 of them).
        candidates: draws among which a proposal is chosen.
    """

    startup: int = 10
    good: float = 0.15
    candidates: int = 24
    name: str = "TPE"

    def __post_init__(self) -> None:
        check_least(self, 1, "startup", "candidates")
        if not 0 < self.good < 1:
            raise SearchError(f"{self.name} got good={self.good!r}.", "Give a share between 0 and 1.")

    def start(self, space: Space, rng: random.Random) -> _Estimating:
        return _Estimating(self, space, rng)


class _Estimating:
    def __init__(self, config: TPE, space: Space, rng: random.Random) -> None:
        self._config, self._space, self._rng = config, space, rng
        self._order = deciders_first(space)
        self._kernels = {one.path: kernel_of(one.kind) for one in self._order}
        self._told: list[tuple[Genome, float]] = []
        self._codes: list[list[Any]] = []  # of each genome told, a code or None for each choice
        self._asked: set[Genome] = set()

    def ask(self, n: int = 1) -> list[Genome]:
        return [self._next() for _ in range(n)]

    def tell(self, genome: Genome, score: float) -> None:
        self._told.append((genome, score))
        self._codes.append(self._coded(genome))

    def _next(self) -> Genome:
        made = self._space.draw(self._rng) if len(self._told) < self._config.startup else self._likely()
        self._asked.add(made)
        return made

    def _likely(self) -> Genome:
        ranked = sorted(range(len(self._told)), key=lambda index: -self._told[index][1])
        count = min(_MOST_GOOD, max(1, math.ceil(self._config.good * len(ranked))))
        good = _Mixture(self._kernels, [self._codes[index] for index in ranked[:count]])
        rest = _Mixture(self._kernels, [self._codes[index] for index in ranked[count:]])
        drawn = [self._near(good, ranked[:count]) for _ in range(self._config.candidates)]
        fresh = list(dict.fromkeys(one for one in drawn if one not in self._asked))
        if not fresh:
            return self._space.draw(self._rng)
        codes = [self._coded(one) for one in fresh]
        ratios = good.logs(codes) - rest.logs(codes)
        return fresh[int(ratios.argmax())]

    def _near(self, good: _Mixture, members: list[int]) -> Genome:
        """A draw from the density of the good: near one of them, or, as one more member, anywhere."""
        rng = self._rng
        at = int(rng.random() * (len(members) + 1))
        centre = self._told[members[at]][0] if at < len(members) else None
        codes = self._codes[members[at]] if at < len(members) else []
        values = dict(self._space.default().values)
        for index, one in enumerate(self._order):
            if not self._space.holds(one, values):
                values[one.path] = one.default
            elif centre is None or codes[index] is None:
                values[one.path] = one.kind.sample(rng)
            else:
                values[one.path] = self._kernels[one.path].draw(centre.values[one.path], good.width, rng)
        return self._space.settled(values)

    def _coded(self, genome: Genome) -> list[Any]:
        values = genome.values
        return [
            self._kernels[one.path].code(values[one.path])
            if self._space.holds(one, values) and one.kind.fits(values[one.path])
            else None
            for one in self._order
        ]


class _Mixture:
    """A density over genomes: a kernel around each member, and one that knows nothing, all of one weight."""

    def __init__(self, kernels: dict[str, Kernel], members: list[list[Any]]) -> None:
        import numpy as np

        self._kernels = list(kernels.values())
        self.width = (len(members), len(self._kernels))
        self._columns = []
        for index, kernel in enumerate(self._kernels):
            known = np.array([one[index] is not None for one in members], dtype=bool)
            codes = np.array([kernel.nothing if one[index] is None else one[index] for one in members])
            self._columns.append((known, codes.reshape(len(members), len(kernel.nothing))))

    def logs(self, codes: list[list[Any]]) -> Any:
        """Logarithms of the density.  codes: [n][choices] -> [n]"""
        import numpy as np

        total = np.zeros((len(codes), self.width[0] + 1))
        for index, (kernel, (known, centres)) in enumerate(zip(self._kernels, self._columns, strict=True)):
            open_ = np.array([one[index] is not None for one in codes], dtype=bool)
            if not open_.any():
                continue
            given = np.array([one[index] for one in codes if one[index] is not None])
            found = np.full((len(given), self.width[0] + 1), kernel.flat)
            if known.any():
                found[:, :-1][:, known] = kernel.logs(given, centres[known], self.width)
            total[open_] += found
        most = total.max(axis=1, keepdims=True)
        return (most[:, 0] + np.log(np.exp(total - most).sum(axis=1))) - math.log(total.shape[1])
