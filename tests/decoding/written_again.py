"""One request written by `decoder_for` under the table-driven model: plainly, and with guesses of any quality."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from toy_vocabulary import ToyVocabulary
from toys import drive
from walking import LAST

from thalweg.decoding import Budget, Guesses, decoder_for
from thalweg.decoding.drafters import Draft, Verified
from thalweg.models.request import Answer, Format, Message, Request, Sampling

VOCABULARY = ToyVocabulary()


class Guesser:
    """Knows what will be written, and says it among wrong branches, up to a random place."""

    def __init__(self, right: Sequence[int], seed: int) -> None:
        self.right, self.random = list(right), random.Random(seed)

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        right = self.right[len(tokens) - 1 :][:5]
        wrong = [self.random.randrange(1, VOCABULARY.size) for _ in range(self.random.randint(1, 3))]
        paths = [right, wrong, [*right[: self.random.randint(0, 5)], *wrong]]
        paths = [path for path in paths if path]
        return Draft.of(paths, [0.3] * len(paths))

    def observe(self, verified: Verified) -> None: ...

    def finish(self, tokens: Sequence[int]) -> None: ...


def request(format: Format, sampling: Sampling, **fields: Any) -> Request:
    return Request((Message("user", "a"),), format, sampling, reserve=2, **fields)


def plainly(asked: Request, salt: int, observe: Callable[[str], None] | None = None) -> Answer:
    decoder = decoder_for(asked, [LAST], VOCABULARY, room=200, observe=observe)
    return drive(decoder, VOCABULARY.size, salt)


def with_guesses(
    asked: Request, salt: int, right: Sequence[int], observe: Callable[[str], None] | None = None
) -> Answer:
    guesses = Guesses(Guesser(right, salt), Budget(lambda rows: 1.0, max_rows=32, size=12))
    decoder = decoder_for(asked, [LAST], VOCABULARY, room=200, observe=observe, guesses=guesses)
    return drive(decoder, VOCABULARY.size, salt)
