"""One answer being written: the constraint's state, what is written, and how the next token is drawn.

Shared by the decoders that write left to right. The value is valid whenever it ends, and it always ends: when room
runs short the model is no longer followed and the shortest way to a complete value is taken. Log-probabilities of
tokens and stop texts are kept where they are asked for; whoever asks for neither pays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints import Constraint, restrict
from thalweg.decoding.samplers import pick
from thalweg.decoding.stops import Stops
from thalweg.errors import BudgetExceeded
from thalweg.models.request import Sampling, TokenLogprob
from thalweg.models.scorer import Logits


@dataclass
class Generated:
    """Tokens of one answer (without an end token), how many were forced, and the log-probability of the drawn ones.

    `cut` is the number of bytes before the stop text that ended the answer (-1: none did); the last token may reach
    beyond. `logprobs` are aligned with `tokens` where they were asked for.
    """

    tokens: list[int]
    forced: int
    logprob: float
    closed: bool
    cut: int = -1
    logprobs: tuple[TokenLogprob, ...] = ()


class Writing:
    """An answer and where it stands.

    Args:
        limit: most tokens of the answer.
        reserve: how many of them are kept for closing the value.
        stops: texts that end the answer.
        logprobs: how many of the likeliest tokens are kept at each drawn one; -1 keeps nothing.
    """

    def __init__(
        self,
        constraint: Constraint,
        sampling: Sampling,
        *,
        limit: int,
        reserve: int,
        stops: Stops | None = None,
        logprobs: int = -1,
    ) -> None:
        self.state = constraint.start()
        self.sampling = sampling
        self.limit, self.reserve = limit, reserve
        self.out: list[int] = []
        self.forced = 0  # tokens of `out` that were not drawn
        self.logprob = 0.0  # of the drawn ones
        self.closed = False
        self.stops, self.most = stops, logprobs
        self.logprobs: list[TokenLogprob] = []  # aligned with `out` if `most` is not negative
        self.cut = -1  # where a stop text begins in `_text`
        self._text = bytearray()  # of `out`, if there are stop texts

    @property
    def done(self) -> bool:
        return self.cut >= 0 or self.state.done

    @property
    def closing(self) -> bool:
        """Whether the next token is chosen to end the value soon."""
        return len(self.out) + self.reserve >= self.limit

    def follow(self) -> list[int]:
        """Write what is forced here. Returns it."""
        if self.cut >= 0:
            return []
        forced = self.state.forced()
        self.forced += len(forced)
        self._append(forced)
        if self.most >= 0:
            self.logprobs += [TokenLogprob(token, 0.0) for token in forced]
        if len(self.out) >= self.limit and not self.done:
            raise BudgetExceeded(
                f"The answer is not complete after {len(self.out)} tokens, and no shorter way to close it exists.",
                "Raise `max_tokens`, or give the type smaller bounds.",
            )
        return forced

    def draw(self, logits: Logits) -> list[int]:
        """Write the next token, drawn from raw `logits`, and what is forced behind it. Returns these tokens."""
        allowed = self.state.allowed()
        if not self.closing:
            ids, kept = restrict(logits, allowed)
            return self.write(*pick(ids, kept, self.sampling, len(self.out)), ids, kept)
        self.closed = True
        token = self.state.shortest(allowed, logits)
        if self.most >= 0:
            self.logprobs.append(TokenLogprob(token, 0.0))
        return self._advance(token)

    def write(self, token: int, logprob: float, ids: NDArray[np.int64], logits: Logits) -> list[int]:
        """Write a token drawn among the allowed `ids`, and what is forced behind it. Returns these tokens.

        Args:
            logprob: its log-probability among them at temperature 1.
            logits: raw, aligned with `ids`.
        """
        self.logprob += logprob
        if self.most >= 0:
            self.logprobs.append(TokenLogprob(token, logprob, likeliest(ids, logits, self.most)))
        return self._advance(token)

    def generated(self, end: int) -> Generated:
        """What was written, without an end token, and without the tokens of a stop text."""
        tokens = self.out[:-1] if self.out[-1:] == [end] else self.out
        if self.cut >= 0:
            tokens = tokens[: self._tokens_before(self.cut)]
        logprobs = tuple(self.logprobs[: len(tokens)])
        return Generated(tokens, self.forced, self.logprob, self.closed, self.cut, logprobs)

    def _advance(self, token: int) -> list[int]:
        self.state.advance(token)
        self._append([token])
        return [token, *self.follow()]

    def _append(self, tokens: list[int]) -> None:
        self.out += tokens
        if self.stops is None:
            return
        seen = len(self._text)
        for token in tokens:
            self._text += self.stops.pieces[token]
        self.cut = self.stops.cut(self._text, seen)

    def _tokens_before(self, cut: int) -> int:
        """How many tokens begin before byte `cut`."""
        assert self.stops is not None
        count = length = 0
        while length < cut:
            length += len(self.stops.pieces[self.out[count]])
            count += 1
        return count


def likeliest(ids: NDArray[np.int64], logits: Logits, most: int) -> tuple[tuple[int, float], ...]:
    """Up to `most` allowed tokens with their log-probabilities among `ids` at temperature 1, likeliest first.

    Args:
        logits: raw, aligned with `ids`. Ties: the lowest id first.
    """
    if most < 1:
        return ()
    shifted = logits - logits.max()
    total = float(np.log(np.exp(shifted).sum(dtype=np.float64)))
    if most < len(ids):
        least = np.partition(shifted, -most)[-most]
        places = np.flatnonzero(shifted >= least)
    else:
        places = np.arange(len(ids))
    places = places[np.lexsort((ids[places], -shifted[places]))][:most]
    return tuple((int(ids[i]), float(shifted[i]) - total) for i in places)
