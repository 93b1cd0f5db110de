"""SelfConsistency: draw several answers and take the one that most of them give.

Choose it where answers vary with how the model happened to reason, usually around `ChainOfThought`; for a plain
question of a finite type it only estimates `distribution`, which one call knows exactly. Source: Wang et al. 2023,
"Self-consistency improves chain of thought reasoning in language models". Cost: n times that of its inner strategy,
batched; all draws share the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.program.procedure import Solved
from thalweg.prompting.vote import Ballot, Vote, vote

if TYPE_CHECKING:
    from thalweg.program.learned import Learned


@dataclass(frozen=True)
class SelfConsistency:
    """The majority of `n` draws; ties by mean log-probability, then the first drawn (see `Vote`).

    Args:
        n: draws. temperature: of the draws. inner: strategy of each (default: direct).

    Raises:
        ValueError: n < 1, or a temperature at which all draws are equal.
    """

    n: int = 5
    temperature: float = 0.7
    inner: Any = None
    name: str = "self-consistency"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n={self.n}; give at least 1 draw")
        if self.n > 1 and not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature}; give one above 0, or all draws are equal")

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        found = self._drawn(ask, inputs)
        return Solved(found.winner, _details(found))

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """Shares of the draws."""
        found = self._drawn(ask, inputs)
        return Solved(found.distribution(ask.signature.output.values() or ()), _details(found))

    def _drawn(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Vote:
        drawn = draws(ask, inputs, self.n, self.temperature)
        return vote([Ballot.of(one) for one in drawn])


def draws(ask: Learned[..., Any], inputs: Mapping[str, Any], n: int, temperature: float, first: int = 0) -> list[Any]:
    """`n` answers under way, each with a seed of its own, from the `first` on; equal seeds of the session give equal
    draws."""
    seed = (ask._session().seed or 0) * 1_000_003
    return [ask.using(temperature=temperature, seed=seed + first + i).submit(**inputs) for i in range(n)]


def _details(found: Vote) -> dict[str, Any]:
    told = {} if found.logprob != found.logprob else {"logprob": found.logprob}
    return {"votes": found.shares, "share": found.share, "tied": found.tied, **told}
