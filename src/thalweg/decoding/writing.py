"""One answer being written: the constraint's state, what is written, and how the next token is drawn.

Shared by the decoders that write left to right. The value is valid whenever it ends, and it always ends: when room
runs short the model is no longer followed and the shortest way to a complete value is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.decoding.constraints import Constraint, restrict
from thalweg.decoding.samplers import pick
from thalweg.errors import BudgetExceeded
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits


@dataclass
class Generated:
    """Tokens of one answer (without an end token), how many were forced, and the log-probability of the drawn ones."""

    tokens: list[int]
    forced: int
    logprob: float
    closed: bool


class Writing:
    """An answer and where it stands.

    Args:
        limit: most tokens of the answer.
        reserve: how many of them are kept for closing the value.
    """

    def __init__(self, constraint: Constraint, sampling: Sampling, *, limit: int, reserve: int) -> None:
        self.state = constraint.start()
        self.sampling = sampling
        self.limit, self.reserve = limit, reserve
        self.out: list[int] = []
        self.forced = 0  # tokens of `out` that were not drawn
        self.logprob = 0.0  # of the drawn ones
        self.closed = False

    @property
    def done(self) -> bool:
        return self.state.done

    @property
    def closing(self) -> bool:
        """Whether the next token is chosen to end the value soon."""
        return len(self.out) + self.reserve >= self.limit

    def follow(self) -> list[int]:
        """Write what is forced here. Returns it."""
        forced = self.state.forced()
        self.out += forced
        self.forced += len(forced)
        if len(self.out) >= self.limit and not self.done:
            raise BudgetExceeded(
                f"The answer is not complete after {len(self.out)} tokens, and no shorter way to close it exists.",
                "Raise `max_tokens`, or give the type smaller bounds.",
            )
        return forced

    def draw(self, logits: Logits) -> list[int]:
        """Write the next token, drawn from raw `logits`, and what is forced behind it. Returns these tokens."""
        allowed = self.state.allowed()
        if self.closing:
            self.closed = True
            token = self.state.shortest(allowed, logits)
        else:
            token, step = pick(*restrict(logits, allowed), self.sampling, len(self.out))
            self.logprob += step
        self.state.advance(token)
        self.out.append(token)
        return [token, *self.follow()]

    def generated(self, end: int) -> Generated:
        """What was written, without an end token."""
        tokens = self.out[:-1] if self.out[-1:] == [end] else self.out
        return Generated(tokens, self.forced, self.logprob, self.closed)
