"""All candidates, in a stable order: `ExhaustiveProposer`.

Choose it for small spaces, as the complete baseline of any cleverer proposer, and for counterexample-guided synthesis,
where most candidates fall to a known counterexample without being checked. Cost: nothing is built ahead; a round skips
over those proposed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from thalweg.errors import TypeNotSupported
from thalweg.program.proposers.proposer import Candidate, State
from thalweg.program.types import plan


@dataclass(frozen=True)
class ExhaustiveProposer:
    """Every value of a space, the first ones first; scores are 0.

    Args:
        space: a list, or a function without arguments that returns an iterator (read lazily, may be infinite, must
            give the same order every time); None: the options that `propose` gets.

    Raises:
        TypeError: `space` is an iterator, which could be read once only.
    """

    space: Iterable[Any] | Callable[[], Iterable[Any]] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.space, Iterator):
            raise TypeError("space is an iterator, which can be read only once; pass a list or a function making it")

    @classmethod
    def of(cls, annotation: Any) -> ExhaustiveProposer:
        """All values of a finite type. Raises `TypeNotSupported` for others (and for more than 512)."""
        values = plan(annotation).values()
        if values is None:
            raise TypeNotSupported(
                f"{annotation} has infinitely many values, or more than are listed.",
                "Pass a function that returns an iterator over the space.",
            )
        return cls(values)

    @property
    def name(self) -> str:
        return "exhaustive"

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """The next `k` values after those that `state.proposed` counts."""
        space = self.space if options is None else options
        if space is None:
            raise TypeError("there is nothing to enumerate: pass options, or ExhaustiveProposer(space)")
        values = space() if callable(space) else space
        begin = state.proposed if isinstance(state, State) else 0
        return [Candidate(value, source=self.name) for value in islice(values, begin, begin + k)]
