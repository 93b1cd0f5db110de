"""Grid: every genome of a space once, in program order; numbers at a few points of their range.

Choose it where the space is small enough to be tried whole, so that nothing is left to luck. Choices that others switch
off are not varied. Cost: tens of microseconds a proposal, however large the space is; ends by itself.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.algorithms.algorithm import check_least
from thalweg.program.choice_kinds import Choice, Integer, Permutation, Real, Subset
from thalweg.program.spaces import Dimension, Genome, Space


@dataclass(frozen=True)
class Grid:
    """All genomes, those first that differ in the last choices.

    Args:
        points: values of a number, evenly spaced over its range, both ends included (whole numbers: at most so many).
    """

    points: int = 5
    name: str = "Grid"

    def __post_init__(self) -> None:
        check_least(self, 2, "points")

    def start(self, space: Space, rng: random.Random) -> _Walking:
        return _Walking(space, self.points)


class _Walking:
    def __init__(self, space: Space, points: int) -> None:
        self._left = _genomes(space, points)

    def ask(self, n: int = 1) -> list[Genome]:
        return list(itertools.islice(self._left, n))

    def tell(self, genome: Genome, score: float) -> None:
        pass


def _genomes(space: Space, points: int) -> Iterator[Genome]:
    order = deciders_first(space)
    defaults = space.default().values

    def below(index: int, values: dict[str, Any]) -> Iterator[Genome]:
        if index == len(order):
            yield space.settled(values)
            return
        one = order[index]
        if not space.holds(one, values):
            yield from below(index + 1, {**values, one.path: one.default})
            return
        for value in values_of(one, points):
            yield from below(index + 1, {**values, one.path: value})

    return below(0, dict(defaults))


def deciders_first(space: Space) -> list[Dimension]:
    """Choices in program order, but none before those that decide whether it is open."""
    made: dict[str, Dimension] = {}

    def add(one: Dimension) -> None:
        for each in one.when:
            for path, _ in each:
                if path in space and path not in made and path != one.path:
                    add(space[path])
        made.setdefault(one.path, one)

    for one in space.values():
        add(one)
    return [one for one in made.values() if one.drawable]


def values_of(one: Dimension, points: int) -> Iterator[Any]:
    """The values of a choice, a number at `points` of its range."""
    kind: Any = one.kind
    if isinstance(kind, Choice):
        yield from kind.options
    elif isinstance(kind, Subset):
        yield from itertools.combinations(kind.options, kind.k)
    elif isinstance(kind, Permutation):
        yield from itertools.permutations(kind.options)
    elif isinstance(kind, Integer):
        width = kind.high - kind.low
        steps = min(width, points - 1)
        yield from (
            dict.fromkeys(kind.low + round(width * step / steps) for step in range(steps + 1)) if steps else [kind.low]
        )
    elif isinstance(kind, Real):
        yield from dict.fromkeys(kind.at(step / (points - 1)) for step in range(points))
    else:
        yield one.default
