"""A small grammar under the real model, as a table: conditionals read once, then thousands of draws without a pass.

The laws are the packaged model's, read behind a real prompt by `exact`; of each, the tokens of the grammar and the
hundred likeliest others are kept one by one, and what is left is spread over a few stand-ins (forbidden all the same).
The coroutines that run over it are those the engine runs. For averages over many runs of a sampler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding import Decoder, constraint_for
from thalweg.decoding.aligned import GrammarAligned, Language, enumerate_language, exact
from thalweg.models.request import Sampling

LIKELIEST, STAND_INS = 100, 40
LAST = 0  # the token before every answer; no other
EVEN = Sampling(temperature=1.0)


class Table:
    """A language, the law behind each of its prefixes, and a constraint over a vocabulary of only their tokens.

    Args:
        laws: log-probabilities, [prefixes, vocabulary]. end: the token that ends an answer.
        texts: of the leaves, in order.
    """

    uniform = True

    def __init__(self, language: Language, laws: NDArray[Any], end: int, texts: list[str]) -> None:
        self.language, self.end, self.texts = language, end, texts
        self.real = language  # the same in the model's own tokens
        self._laws = laws
        self._numbers: dict[tuple[int, ...], int] = {
            (LAST, *language.spelling(number)): number for number in range(len(language))
        }
        self._leaves = {language.spelling(leaf): i for i, leaf in enumerate(language.leaves)}

    @classmethod
    def of_model(cls, aligned: GrammarAligned, prompt: Any) -> Table:
        """The grammar of `aligned` behind a prompt, under its model."""
        tokenizer = aligned.model.tokenizer
        real = enumerate_language(constraint_for(aligned.format, tokenizer), end=tokenizer.end)
        kept: dict[int, list[tuple[int, float]]] = {}

        def visit(number: int, law: NDArray[np.float64]) -> None:
            ids = {*np.argpartition(law, -LIKELIEST)[-LIKELIEST:].tolist()}
            ids |= {real.tokens[child] for child in real.children[number]}
            kept[number] = [(token, float(law[token])) for token in sorted(ids)]

        aligned.run(prompt, lambda last, room: exact(last, real, EVEN, visit=visit))
        index = {token: i for i, token in enumerate(sorted({token for law in kept.values() for token, _ in law}), 1)}
        laws = np.full((len(real), len(index) + 1 + STAND_INS), -np.inf)
        for number, law in kept.items():
            for token, logprob in law:
                laws[number, index[token]] = logprob
            rest = 1 - math.fsum(math.exp(logprob) for _, logprob in law)
            laws[number, -STAND_INS:] = math.log(max(rest, 1e-12) / STAND_INS)
        texts = [tokenizer.decode(real.spelling(leaf)[:-1]) for leaf in real.leaves]
        table = cls(
            replace(real, tokens=[-1, *[index[token] for token in real.tokens[1:]]]), laws, index[tokenizer.end], texts
        )
        table.real = real
        return table

    def start(self) -> Place:
        return Place(self.language, 0)

    def drive(self, decoder: Decoder[Any]) -> Any:
        """Run a coroutine over the table."""
        kept: tuple[int, ...] = ()
        paths: list[tuple[int, ...]] = []
        try:
            fragment = next(decoder)
            while True:
                if fragment.commit >= 0:
                    kept = paths[fragment.commit]
                paths = []
                for token, parent in zip(fragment.tokens, fragment.parents, strict=True):
                    paths.append((*(paths[parent] if parent >= 0 else kept), token))
                wanted = [path for path, want in zip(paths, fragment.wants, strict=True) if want]
                if fragment.keep:
                    kept = paths[-1]
                fragment = decoder.send([self._laws[self._numbers[path]] for path in wanted])
        except StopIteration as stop:
            return stop.value

    def leaf(self, tokens: Sequence[int]) -> int:
        """Which of the language's strings a sample is."""
        return self._leaves[(*tokens, self.end)]


class Place:
    """Where in the language an answer stands."""

    def __init__(self, language: Language, number: int) -> None:
        self.language = language
        self.number = number

    @property
    def done(self) -> bool:
        return not self.language.children[self.number]

    def forced(self) -> list[int]:
        tokens: list[int] = []
        while len(children := self.language.children[self.number]) == 1:
            self.number = children[0]
            tokens.append(self.language.tokens[self.number])
        return tokens

    def allowed(self) -> NDArray[np.int64]:
        return np.array([self.language.tokens[child] for child in self.language.children[self.number]], np.int64)

    def accepts(self, token: int) -> bool:
        return any(self.language.tokens[child] == token for child in self.language.children[self.number])

    def advance(self, token: int) -> None:
        for child in self.language.children[self.number]:
            if self.language.tokens[child] == token:
                self.number = child
                return
        raise ValueError(f"token {token} does not follow here")

    def shortest(self, allowed: Any, logits: Any) -> int:
        return int(allowed[0])

    def fork(self) -> Place:
        return Place(self.language, self.number)
