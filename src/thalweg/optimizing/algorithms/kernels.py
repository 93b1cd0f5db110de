"""Kernels: how a value of a choice spreads around one that was seen, for density estimates over spaces.

Discrete values (options, subsets, orders) have a code vector, and the weight of another value falls geometrically with
the number of places in which the codes differ: by 1 / (members + 1) each, which for one option of many is the kernel of
Aitchison & Aitken 1976. Numbers have a normal kernel, cut off at the ends of the range. Every kernel sums to 1. Cost:
microseconds a draw; `logs` works on arrays.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, Protocol

from thalweg.program.choice_kinds import Choice, Integer, Permutation, Real, Subset

Width = tuple[int, int]  # members of the mixture, choices of the space


class Kernel(Protocol):
    """Of one choice.

    `nothing`: a code to stand where there is none. `flat`: logarithm of the density that knows nothing.
    """

    nothing: tuple[float, ...]
    flat: float

    def code(self, value: Any) -> tuple[float, ...]: ...

    def draw(self, centre: Any, width: Width, rng: random.Random) -> Any: ...

    def logs(self, codes: Any, centres: Any, width: Width) -> Any:
        """codes: [n, length], centres: [members, length] -> [n, members]"""
        ...


def kernel_of(kind: Any) -> Kernel:
    """The kernel of a kind of choice."""
    return Normal(kind) if isinstance(kind, Real | Integer) else Geometric(kind)


class Geometric:
    """Around an option, a subset or an order."""

    def __init__(self, kind: Choice | Subset | Permutation) -> None:
        self._kind = kind
        self._labels = Choice(kind.options)
        n = len(kind.options)
        # ways[j]: how many values differ in `step` * j places of the code
        if isinstance(kind, Choice):
            self._step, ways = 1, [1, n - 1]
        elif isinstance(kind, Subset):
            self._step = 2
            ways = [math.comb(kind.k, j) * math.comb(n - kind.k, j) for j in range(min(kind.k, n - kind.k) + 1)]
        else:
            self._step, ways = 1, [math.comb(n, j) * _derangements(j) for j in range(n + 1)]
        self._ways = ways
        self.flat = -math.log(sum(ways))
        self.nothing = (0.0,) * len(self.code(kind.default))

    def code(self, value: Any) -> tuple[float, ...]:
        if isinstance(self._kind, Choice):
            return (float(self._kind.index(value)),)
        places = [float(self._labels.index(part)) for part in value]
        if isinstance(self._kind, Permutation):
            return tuple(places)
        return tuple(float(index in places) for index in range(len(self._kind.options)))

    def draw(self, centre: Any, width: Width, rng: random.Random) -> Any:
        steps = range(len(self._ways))
        count = rng.choices(steps, [ways * self._falls(width) ** j for j, ways in enumerate(self._ways)])[0]
        if count == 0:
            return centre
        if isinstance(self._kind, Choice):
            return self._kind.mutate(centre, rng)
        if isinstance(self._kind, Subset):
            inside = [int(self._labels.index(part)) for part in centre]
            outside = [index for index in range(len(self._kind.options)) if index not in inside]
            kept = rng.sample(inside, len(inside) - count) + rng.sample(outside, count)
            return tuple(self._kind.options[index] for index in sorted(kept))
        made, places = list(centre), rng.sample(range(len(centre)), count)
        while True:  # a third of all orders move every element
            mixed = rng.sample(places, count)
            if all(one != other for one, other in zip(places, mixed, strict=True)):
                break
        for one, other in zip(places, mixed, strict=True):
            made[one] = centre[other]
        return tuple(made)

    def logs(self, codes: Any, centres: Any, width: Width) -> Any:
        falls = self._falls(width)
        apart = (codes[:, None, :] != centres[None, :, :]).sum(axis=2) / self._step
        return apart * math.log(falls) - math.log(sum(ways * falls**j for j, ways in enumerate(self._ways)))

    def _falls(self, width: Width) -> float:
        return 1.0 / (width[0] + 1)


class Normal:
    """Around a number, on the scale of its range; whole numbers are the middles of cells of that scale."""

    flat = 0.0
    nothing = (0.0,)

    def __init__(self, kind: Real | Integer) -> None:
        self._kind = kind
        self._cells = kind.high - kind.low + 1 if isinstance(kind, Integer) else 0

    def code(self, value: Any) -> tuple[float, ...]:
        if isinstance(self._kind, Integer):
            return ((value - self._kind.low + 0.5) / self._cells,)
        return (self._kind.share(value),)

    def draw(self, centre: Any, width: Width, rng: random.Random) -> Any:
        at, spread = self.code(centre)[0], _spread(width)
        share = rng.gauss(at, spread)
        while not 0 <= share < 1:  # at least 0.47 of the kernel is inside
            share = rng.gauss(at, spread)
        if isinstance(self._kind, Integer):
            return self._kind.low + int(share * self._cells)
        return self._kind.at(share)

    def logs(self, codes: Any, centres: Any, width: Width) -> Any:
        import numpy as np

        spread = _spread(width)
        inside = np.array([_below((1 - at) / spread) - _below(-at / spread) for at in centres[:, 0]])
        away = (codes[:, 0][:, None] - centres[:, 0][None, :]) / spread
        return -0.5 * away**2 - math.log(spread * math.sqrt(2 * math.pi)) - np.log(inside)[None, :]


def _spread(width: Width) -> float:
    """Scott's rule, from a fifth of the range downwards."""
    members, choices = width
    return max(0.02, 0.2 * max(1, members) ** (-1 / (choices + 4)))


def _below(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _derangements(n: int) -> int:
    found: Sequence[int] = (1, 0)
    for size in range(2, n + 1):
        found = (*found, (size - 1) * (found[-1] + found[-2]))
    return found[n]
