"""`Algorithm`: a search algorithm as ask and tell, knowing a space and scores only.

Write one as a frozen data class with `name` and `start`, in a file of its own. All its randomness comes from the `rng`
it is started with, and it looks at no clock: equal seeds and equal scores give equal proposals, which is how a killed
search finds its way again. Source: `DNAGenerator` in Peng et al. 2020, "PyGlove".
"""

from __future__ import annotations

import random
from typing import Any, Protocol

from thalweg.errors import SearchError
from thalweg.program.spaces import Genome, Space


class Algorithm(Protocol):
    """How to search, as data."""

    @property
    def name(self) -> str: ...

    def start(self, space: Space, rng: random.Random) -> Asking:
        """A search of a space, begun. Texts and examples in it stay at their defaults."""
        ...


class Asking(Protocol):
    """A search under way. One that has proposals for parts of the examples has `share` too (see `share_of`)."""

    def ask(self, n: int = 1) -> list[Genome]:
        """Up to `n` genomes to score next; none where there are no more, or scores are owed first."""
        ...

    def tell(self, genome: Genome, score: float) -> None:
        """The score of a genome that was asked for; higher is better."""
        ...


def share_of(asking: Any, genome: Genome) -> float:
    """The share of the examples that a genome just asked for is to be scored on: 1 for most algorithms."""
    share = getattr(asking, "share", None)
    return share(genome) if share is not None else 1.0


def check_least(algorithm: Any, least: int, *names: str) -> None:
    """Raise `SearchError` for a number of a configuration that is too small."""
    for name in names:
        value = getattr(algorithm, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SearchError(f"{algorithm.name} got {name}={value!r}.", f"Give a whole number from {least} upwards.")
