"""Guesses never change what is written: whatever the drafter proposes, under every constraint and sampler."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from thalweg.decoding import Budget, Guesses, drive, generate
from thalweg.decoding.constraints import constraint_for
from thalweg.decoding.drafters import Draft, Verified
from thalweg.decoding.speculate import Speculation, speculate
from thalweg.decoding.writing import Generated
from thalweg.models import prepare
from thalweg.models.llama_tree import LlamaTree
from thalweg.models.request import Format, Sampling

PROMPT = "<|im_start|>user\nWrite about the sea, the sun and the sand.<|im_end|>\n<|im_start|>assistant\n"
SCHEMA = """{"type": "object", "required": ["name", "age", "kind"], "additionalProperties": false, "properties": {
    "name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}, "kind": {"enum": ["cat", "catfish", "dog"]}
}}"""
FORMATS = {
    "text": Format("text", max_chars=120),
    "json": Format("json", schema=SCHEMA),
    "regex": Format("regex", pattern=r"(sea|sun|sand)( (and|or) (sea|sun|sand)){2,6}\."),
    "choices": Format("choices", choices=("sea", "sea and sun", "sand", "the sun", "the sunrise")),
}
SAMPLINGS = {
    "greedy": Sampling(max_tokens=40),
    "warm": Sampling(temperature=0.9, seed=5, max_tokens=40),
    "nucleus": Sampling(temperature=1.2, top_p=0.9, top_k=50, seed=6, max_tokens=40),
}


@pytest.fixture(scope="module")
def scorer() -> Iterator[LlamaTree]:
    scorer = LlamaTree(prepare.prepared("smollm2-135m:q8_0").path, streams=1, context=512, threads=1)
    yield scorer
    scorer.free()


class Oracle:
    """Proposes trees that hold the right continuation with some chance, among wrong branches."""

    def __init__(self, right: Sequence[int], prompt: int, *, chance: float, seed: int) -> None:
        self.right, self.prompt, self.chance = list(right), prompt, chance
        self.random = random.Random(seed)
        self.seen: list[Verified] = []
        self.finished: list[int] = []

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        done = len(tokens) - self.prompt
        paths = [[self.random.randrange(100, 5000) for _ in range(self.random.randint(1, 4))] for _ in range(2)]
        right = self.right[done : done + 6]
        if right and self.random.random() < self.chance:
            wrong = self.random.randint(1, len(right))  # right up to here
            paths.append([*right[:wrong], self.random.randrange(100, 5000)])
            paths.append([*right[: wrong // 2], self.random.randrange(100, 5000)])
        self.random.shuffle(paths)
        return Draft.of(paths, [self.random.random() / 4 for _ in paths])

    def observe(self, verified: Verified) -> None:
        self.seen.append(verified)

    def finish(self, tokens: Sequence[int]) -> None:
        self.finished = list(tokens)


def write(scorer: LlamaTree, format: Format, sampling: Sampling, guesses: Guesses | None) -> tuple[Generated, Any]:
    tokens = scorer.tokenizer.encode(PROMPT, special=True)
    constraint = constraint_for(format, scorer.tokenizer)
    prefix, counts = scorer.open(tokens[:-1]), Speculation()
    limits = {"end": scorer.tokenizer.end, "limit": sampling.max_tokens, "reserve": 12}
    try:
        if guesses is None:
            return drive(generate(tokens[-1], constraint, sampling, **limits), scorer, prefix), counts
        decoder = speculate(tokens, constraint, sampling, guesses=guesses, speculation=counts, **limits)
        return drive(decoder, scorer, prefix), counts
    finally:
        scorer.close(prefix)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_output_is_identical_to_plain_decoding(scorer: LlamaTree, format: str, sampling: str) -> None:
    plain, _ = write(scorer, FORMATS[format], SAMPLINGS[sampling], None)
    prompt = len(scorer.tokenizer.encode(PROMPT, special=True))
    for seed, chance in ((1, 0.9), (2, 0.0)):
        oracle = Oracle(plain.tokens, prompt, chance=chance, seed=seed)
        guesses = Guesses(oracle, Budget(lambda rows: 1.0 + 0.01 * rows, max_rows=63, size=20))
        guessed, counts = write(scorer, FORMATS[format], SAMPLINGS[sampling], guesses)
        assert guessed == plain  # tokens, how many were forced, log-probability, whether closed early
        assert oracle.finished[prompt:][: len(plain.tokens)] == plain.tokens
        assert counts.accepted == sum(len(one.accepted) for one in oracle.seen)
        if chance and format == "text":
            assert counts.passes < len(plain.tokens) * 0.8


def test_what_a_drafter_is_told_is_what_the_model_said(scorer: LlamaTree) -> None:
    plain, _ = write(scorer, FORMATS["text"], SAMPLINGS["greedy"], None)
    prompt = scorer.tokenizer.encode(PROMPT, special=True)
    oracle = Oracle(plain.tokens, len(prompt), chance=1.0, seed=3)
    guesses = Guesses(oracle, Budget(lambda rows: 1.0, max_rows=63, size=20))
    write(scorer, FORMATS["text"], SAMPLINGS["greedy"], guesses)
    written: list[int] = []
    for one in oracle.seen:
        assert len(one.logits) == len(one.draft)
        assert one.draft.path(one.accepted[-1]) == list(one.tokens[: len(one.accepted)]) if one.accepted else True
        written += one.tokens
    assert written[: len(plain.tokens)] == plain.tokens


def test_without_guesses_that_pay_every_pass_is_a_plain_one(scorer: LlamaTree) -> None:
    plain, _ = write(scorer, FORMATS["text"], SAMPLINGS["greedy"], None)
    prompt = len(scorer.tokenizer.encode(PROMPT, special=True))
    oracle = Oracle(plain.tokens, prompt, chance=0.0, seed=4)
    guesses = Guesses(oracle, Budget(lambda rows: float(rows), max_rows=63))  # cost grows with every row: nothing pays
    guessed, counts = write(scorer, FORMATS["text"], SAMPLINGS["greedy"], guesses)
    assert guessed == plain
    assert counts.drafted == 0 and set(counts.rows) == {1} and counts.passes - len(plain.tokens) in (0, 1)
