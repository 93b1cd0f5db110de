"""Vote: which of several answers most of them give, with a rule for ties.

Choose it wherever one question was asked several times. The heaviest answer wins; of equally heavy ones that with the
highest mean log-probability, where it is known of all of them; else the first in a given order. Sums do not depend on
the order of the ballots, so an equal set of ballots has an equal winner. Source: Wang et al. 2023, "Self-consistency
improves chain of thought reasoning in language models". Cost: that of counting.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import DataError
from thalweg.program.types import jsonable
from thalweg.program.value import Value


@dataclass(frozen=True)
class Ballot:
    """One answer.

    Args:
        logprob: natural log-probability of the answer (nan: not known). weight: of the ballot, above 0.
    """

    value: Any
    logprob: float = math.nan
    weight: float = 1.0

    @classmethod
    def of(cls, answer: Value[Any], weight: float = 1.0) -> Ballot:
        """Of a call under way; waits for it. Raises the call's error."""
        value = answer.result()
        return cls(value, answer.details.get("logprob", math.nan), weight)


@dataclass(frozen=True)
class Vote:
    """What came of a vote.

    Args:
        winner: the value. shares: of the weight by value in its written form, the heaviest first; they sum to 1.
        tied: how many values were equally heavy. logprob: the winner's mean log-probability (nan: not known).
    """

    winner: Any
    shares: dict[str, float]
    tied: int = 1
    logprob: float = math.nan

    @property
    def share(self) -> float:
        """The winner's."""
        return self.shares[written(self.winner)]

    def distribution(self, values: Sequence[Any] = ()) -> dict[Any, float]:
        """Shares by value, 0 for those of `values` that nobody gave."""
        return {one: self.shares.get(written(one), 0.0) for one in values}


def vote(ballots: Sequence[Ballot], order: Sequence[Any] = ()) -> Vote:
    """Count ballots.

    Args:
        order: values in the order that decides between what is equal in all else (default: as they come).

    Raises:
        DataError: no ballots, or a weight that is not above 0.
    """
    if not ballots:
        raise DataError("There are no ballots to count.", "Ask at least once.")
    if bad := [one.weight for one in ballots if not one.weight > 0]:
        raise DataError(f"A ballot weighs {bad[0]}.", "Give weights above 0.")
    by_value: dict[str, list[Ballot]] = {}
    for one in ballots:
        by_value.setdefault(written(one.value), []).append(one)
    ranks: dict[str, int] = {}
    for one in (*map(written, order), *by_value):
        ranks.setdefault(one, len(ranks))
    weights = {text: math.fsum(one.weight for one in given) for text, given in by_value.items()}
    most = max(weights.values())
    tied = [text for text, weight in weights.items() if weight >= most * (1 - 1e-12)]
    means = {text: _mean(given) for text, given in by_value.items()}
    told = not any(math.isnan(means[text]) for text in tied)
    winner = min(tied, key=lambda text: (-means[text] if told else 0.0, ranks[text]))
    whole = math.fsum(weights.values())
    heaviest = sorted(weights, key=lambda text: (-weights[text], ranks[text]))
    return Vote(by_value[winner][0].value, {text: weights[text] / whole for text in heaviest}, len(tied), means[winner])


def written(value: Any) -> str:
    """What values are told apart by: their JSON form, so that 1 and True are two."""
    return json.dumps(jsonable(value), sort_keys=True, ensure_ascii=False, default=repr)


def _mean(ballots: Sequence[Ballot]) -> float:
    whole = math.fsum(one.weight for one in ballots)
    return math.fsum(one.weight * one.logprob for one in ballots) / whole
