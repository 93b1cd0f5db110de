"""What every aligned sampler shares: the model's own law of the next token, a draw from log-weights, a drawn sample.

The law is the *unmasked* softmax at the sampling temperature, after its top-k and nucleus cuts; whatever a constraint
forbids stays in the denominator, because how much of it there is says how likely the model was to leave the grammar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints import State
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.errors import BudgetExceeded
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """One sample of a grammar.

    Args:
        text: what was written. tokens: its tokens, without the end.
        logprob: log P(text, end) under the unmasked model at the sampling temperature (not normalised over the
            grammar); of this spelling in tokens.
        log_weight: log of the importance weight. The mean of ``exp(log_weight)`` estimates the share of the model's
            answers that lie in the grammar, without bias; weighted by it, samples follow the true conditional.
        closed: the length limit cut the draw; the text is a member, but no draw (its `log_weight` is minus infinity).
        forced: tokens that the grammar left no choice for. rows: rows the model was asked for.
    """

    text: str
    tokens: tuple[int, ...]
    logprob: float
    log_weight: float
    closed: bool = False
    forced: int = 0
    rows: int = 0


def logprobs(logits: Logits, sampling: Sampling) -> Floats:
    """The law of the next token, float64 [vocabulary], natural logarithms; minus infinity where a cut removed it.

    At temperature 0 it is the law at temperature 1, of which greedy samplers take the likeliest.
    """
    scaled = logits.astype(np.float64)
    if sampling.temperature > 0:
        scaled /= sampling.temperature
    scaled -= scaled.max()
    if 0 < sampling.top_k < len(scaled):
        scaled[scaled < np.partition(scaled, -sampling.top_k)[-sampling.top_k]] = -np.inf
    weights = np.exp(scaled)
    if sampling.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        mass = np.cumsum(weights[order])
        cut = order[int(np.searchsorted(mass, sampling.top_p * mass[-1])) + 1 :]
        scaled[cut] = -np.inf
        weights[cut] = 0
    return scaled - math.log(weights.sum())


def log_sum(values: Floats | Sequence[float]) -> float:
    """log of the sum of exponentials; minus infinity for nothing."""
    if len(values) == 0:
        return -math.inf
    top = float(np.max(values))
    if top == -math.inf:
        return top
    return top + math.log(float(np.exp(np.asarray(values) - top).sum()))


def choose(scores: Floats, number: float) -> int:
    """Index drawn in proportion to ``exp(scores)`` by `number` in [0, 1); one of positive weight."""
    weights = np.exp(scores - scores.max())
    mass = np.cumsum(weights)
    index = int(np.searchsorted(mass, number * mass[-1], side="right"))
    return index if index < len(weights) else int(np.flatnonzero(weights)[-1])


def ids_of(allowed: NDArray[np.int64] | NDArray[np.bool_]) -> Ints:
    """Ids of the allowed tokens, ascending."""
    found: Any = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else np.sort(allowed)
    return found


def chain(tokens: Sequence[int], wanted: int) -> Fragment:
    """A kept chain that wants the logits of its last `wanted` tokens.

    Uniform, as all aligned samplers are: one context must have one law, however it was reached.
    """
    count = len(tokens)
    return Fragment(
        list(tokens), list(range(-1, count - 1)), [i >= count - wanted for i in range(count)], keep=True, uniform=True
    )


def close(state: State, pending: list[int], logits: Logits | None, out: list[int], limit: int) -> Decoder[int]:
    """Take the shortest way to a complete text, as `generate` does at its limit. Extends `out`; returns rows asked.

    Args:
        pending: tokens at the end of prompt and `out` that the prefix does not hold yet.
        logits: those after `out`, where nothing is pending.

    Raises:
        BudgetExceeded: no way ends within `limit` tokens.
    """
    rows = 0
    while not state.done:
        if len(out) >= limit:
            raise BudgetExceeded(
                f"The answer is not complete after {len(out)} tokens, and no shorter way to close it exists.",
                "Raise `max_tokens`, or give the type smaller bounds.",
            )
        if pending or logits is None:
            rows += len(pending)
            (logits,) = yield chain(pending, 1)
        token = state.shortest(state.allowed(), logits)
        state.advance(token)
        pending = [token, *state.forced()]
        out += pending
    return rows
