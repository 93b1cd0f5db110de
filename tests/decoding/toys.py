"""Small languages under a table-driven model: real distributions whose conditionals are known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from walking import LAST, logits_after

from thalweg.decoding import Choices, Decoder
from thalweg.decoding.aligned import Language, enumerate_language, exact
from thalweg.models.request import Sampling

LETTERS = "abcd"
TEXTS = st.lists(st.text(st.sampled_from(list(LETTERS)), min_size=1, max_size=4), min_size=2, max_size=9, unique=True)
SALTS = st.integers(0, 10**6)
EVEN = Sampling(temperature=1.0)


def drive(decoder: Decoder[Any], size: int, salt: int = 0) -> Any:
    """Run a decoder to its end; keeps and commits what it says."""
    kept: list[int] = []
    paths: list[list[int]] = []
    try:
        fragment = next(decoder)
        while True:
            if fragment.commit >= 0:
                kept = paths[fragment.commit]
            paths = []
            for token, parent in zip(fragment.tokens, fragment.parents, strict=True):
                assert -1 <= parent < len(paths), "parents come before their children"
                paths.append((paths[parent] if parent >= 0 else kept) + [token])
            logits = [logits_after(path, size, salt) for path, want in zip(paths, fragment.wants, strict=True) if want]
            if fragment.keep:
                kept = paths[-1]
            fragment = decoder.send(logits)
    except StopIteration as stop:
        return stop.value


class Letters:
    """A tokenizer of one token a letter; 0 is the end."""

    size = len(LETTERS) + 3
    end = 0

    def encode(self, text: str) -> list[int]:
        return [LETTERS.index(letter) + 1 for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(LETTERS[token - 1] for token in tokens)


def toy(texts: list[str]) -> Choices:
    return Choices(texts, Letters())


def truth(constraint: Any, salt: int, sampling: Sampling = EVEN, limit: int = 64) -> Language:
    language = enumerate_language(constraint, end=Letters.end, limit=limit)
    return drive(exact(LAST, language, sampling), Letters.size, salt)


def log_law(tokens: Sequence[int], salt: int) -> np.ndarray:
    """By another way than the code under test: log-softmax of the table, in float64."""
    logits = logits_after([LAST, *tokens], Letters.size, salt).astype(np.float64)
    return logits - np.logaddexp.reduce(logits)


def log_text(text: str, salt: int) -> float:
    """log P(text, end) of the table-driven model."""
    tokens = [*Letters().encode(text), Letters.end]
    return math.fsum(float(log_law(tokens[:i], salt)[token]) for i, token in enumerate(tokens))
