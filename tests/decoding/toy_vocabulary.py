"""A vocabulary of some sixty tokens, so that every way to write a text can be tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import Any

ALPHABET = "ab1 .'"
LONGER = ("aba", "bab", "ab1", "11.", "a b", " ab", "b.'", "...", "1 1", "\u00e9", "a\u00e9", "aaaa")


class ToyVocabulary:
    """The letters of `ALPHABET` alone and in pairs, some longer tokens, the two bytes of an é, and an end."""

    def __init__(self) -> None:
        pairs = ["".join(pair) for pair in product(ALPHABET, repeat=2)]
        texts = [*ALPHABET, *pairs, *LONGER]
        self.pieces = [b"", *[text.encode() for text in texts], b"\xc3", b"\xa9"]
        self.end = 0
        self.size = len(self.pieces)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The longest token first."""
        data, found = text.encode(), []
        while data:
            token = max(
                (i for i, piece in enumerate(self.pieces) if piece and data.startswith(piece)),
                key=lambda i: len(self.pieces[i]),
            )
            found.append(token)
            data = data[len(self.pieces[token]) :]
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in tokens).decode(errors="replace")

    @cached_property
    def grammar_tokenizer(self) -> Any:
        from llguidance import LLTokenizer, TokenizerWrapper

        return LLTokenizer(TokenizerWrapper(_Wrapped(self)))

    def spellings(self, text: str, most: int) -> Iterator[list[int]]:
        """Every way to write `text` with at most `most` tokens."""

        def write(data: bytes, left: int) -> Iterator[list[int]]:
            if not data:
                yield []
            elif left:
                for token, piece in enumerate(self.pieces):
                    if piece and data.startswith(piece):
                        for rest in write(data[len(piece) :], left - 1):
                            yield [token, *rest]

        yield from write(text.encode(), most)


class _Wrapped:
    eos_token_id, bos_token_id, special_token_ids = 0, None, (0,)

    def __init__(self, vocabulary: ToyVocabulary) -> None:
        self.tokens = [b"\xff<end>", *vocabulary.pieces[1:]]
        self._encode = vocabulary.encode

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text.decode(errors="ignore") if isinstance(text, bytes) else text)
