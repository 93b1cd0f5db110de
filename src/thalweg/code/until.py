"""Until: any text, or any text of another constraint, that ends where a stop text is first written.

Choose it for continuations of code, which no format describes. Cost: one search of the last characters a token.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.constraints import Constraint, State
from thalweg.models.scorer import Logits

Allowed = NDArray[np.int64] | NDArray[np.bool_]


class Until:
    """Constraint to texts that go on until one of `stop` is in them, under `within` if it is given.

    Args:
        stop: texts, none empty. The stop itself is part of the answer; `cut` takes it off.
        tokenizer: the model's vocabulary (`pieces`, `end`).
        within: the constraint that holds until then.
    """

    def __init__(self, stop: Sequence[str], tokenizer: Any, within: Constraint | None = None) -> None:
        self.stop = tuple(stop)
        self.tokenizer = tokenizer
        self.within = within
        self.uniform = within is not None and within.uniform
        self.anything = np.array([bool(piece) for piece in tokenizer.pieces])
        self.anything[tokenizer.end] = True

    def start(self) -> UntilState:
        return UntilState(self, self.within.start() if self.within is not None else None)

    def cut(self, text: str) -> str:
        """`text` up to its first stop."""
        return text[: min((place for one in self.stop if (place := text.find(one)) >= 0), default=len(text))]


class UntilState:
    def __init__(self, until: Until, within: State | None) -> None:
        self._until = until
        self._within = within
        self._seen = ""  # as many characters as a stop may begin in
        self._partial = b""
        self._done = False

    @property
    def done(self) -> bool:
        return self._done or (self._within is not None and self._within.done)

    def forced(self) -> list[int]:
        forced = self._within.forced() if self._within is not None else []
        for token in forced:
            self._see(token)
        return forced

    def allowed(self) -> Allowed:
        return self._within.allowed() if self._within is not None else self._until.anything

    def advance(self, token: int) -> None:
        if self._within is not None:
            self._within.advance(token)
        self._see(token)

    def shortest(self, allowed: Allowed, logits: Logits) -> int:
        return self._within.shortest(allowed, logits) if self._within is not None else self._until.tokenizer.end

    def fork(self) -> UntilState:
        other = copy(self)
        other._within = self._within.fork() if self._within is not None else None
        return other

    def _see(self, token: int) -> None:
        tokenizer, stop = self._until.tokenizer, self._until.stop
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._seen += decoder.decode(self._partial + tokenizer.pieces[token])
        self._partial = decoder.getstate()[0]
        self._done = self._done or token == tokenizer.end or any(one in self._seen for one in stop)
        kept = max(map(len, stop), default=1) - 1
        self._seen = self._seen[-kept:] if kept else ""
