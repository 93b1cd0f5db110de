"""Write one value, left to right, under a constraint. The value is valid whenever it ends, and it always ends.

Each step computes the last drawn token together with the tokens that are forced behind it, then draws the next. When
room runs short the decoder stops following the model and takes the shortest way to a complete value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from thalweg.decoding.constraints import Constraint, restrict
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.samplers import pick
from thalweg.errors import BudgetExceeded
from thalweg.models.request import Sampling

# Up to so many tokens are computed one a turn, beside other requests' single tokens: a pass of their own costs more.
RIDES = 3


@dataclass
class Generated:
    """Tokens of one answer (without an end token), how many were forced, and the log-probability of the drawn ones."""

    tokens: list[int]
    forced: int
    logprob: float
    closed: bool


def generate(
    last: int,
    constraint: Constraint,
    sampling: Sampling,
    *,
    end: int,
    limit: int,
    reserve: int,
    observe: Callable[[list[int]], None] | None = None,
) -> Decoder[Generated]:
    """Decode behind a prompt whose last token, `last`, is not computed yet.

    Args:
        limit: most tokens of the answer.
        reserve: how many of them are kept for closing the value.
        observe: called with the new tokens after every step.
    """
    state = constraint.start()
    pending = [last]
    out: list[int] = []
    forced_count, logprob, closed, told = 0, 0.0, False, 0
    while True:
        forced = state.forced()
        out += forced
        forced_count += len(forced)
        pending += forced
        if observe and len(out) > told:
            observe(out[told:])
            told = len(out)
        if state.done:
            break
        if len(out) >= limit:
            raise BudgetExceeded(
                f"The answer is not complete after {len(out)} tokens, and no shorter way to close it exists.",
                "Raise `max_tokens`, or give the type smaller bounds.",
            )
        if 1 < len(pending) <= RIDES and not constraint.uniform and len(out) > len(pending):
            for token in pending[:-1]:
                yield Fragment.chain([token], want=False)
            pending = pending[-1:]
        (logits,) = yield Fragment.chain(pending, uniform=constraint.uniform)
        allowed = state.allowed()
        if len(out) + reserve >= limit:
            closed = True
            token = state.shortest(allowed, logits)
        else:
            token, step = pick(*restrict(logits, allowed), sampling, len(out))
            logprob += step
        state.advance(token)
        out.append(token)
        pending = [token]
    if out and out[-1] == end:
        out.pop()
    return Generated(out, forced_count, logprob, closed)
