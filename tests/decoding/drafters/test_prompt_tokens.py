"""Prompt tokens guess ahead; whatever they guess, the answer is the plain one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from thalweg.decoding import Budget, Guesses, drive, generate
from thalweg.decoding.constraints import constraint_for
from thalweg.decoding.drafters import PromptTokenDrafter, PromptTokens, Verified
from thalweg.decoding.speculate import Speculation, speculate
from thalweg.errors import UnsupportedByBackend
from thalweg.models import prepare
from thalweg.models.llama_tree import LlamaTree
from thalweg.models.request import Capabilities, Format, Sampling
from thalweg.models.scorer import SOFT

PROMPT = "<|im_start|>user\nTell me about the sea.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def scorer() -> Iterator[LlamaTree]:
    scorer = LlamaTree(
        prepare.prepared("smollm2-135m:q8_0").path, name="tree:smollm2-135m", streams=1, context=384, threads=1
    )
    yield scorer
    scorer.free()


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_output_is_identical_to_plain_decoding(scorer: LlamaTree, temperature: float) -> None:
    prompt = scorer.tokenizer.encode(PROMPT, special=True)
    constraint = constraint_for(Format("text", max_chars=300), scorer.tokenizer)
    sampling = Sampling(temperature=temperature, seed=2, max_tokens=40)
    settings = {"end": scorer.tokenizer.end, "limit": 40, "reserve": 4}
    prefix = scorer.open(prompt[:-1])
    plain = drive(generate(prompt[-1], constraint, sampling, **settings), scorer, prefix)
    scorer.close(prefix)
    drafter = PromptTokenDrafter()  # the packaged rows
    budget = Budget(lambda rows: 1.0 + rows / 100, max_rows=63)
    counts = Speculation()
    prefix = scorer.open(prompt[:-1])
    guesses = Guesses(drafter.start(prompt, scorer), budget)
    decoder = speculate(prompt, constraint, sampling, guesses=guesses, speculation=counts, **settings)
    guessed = drive(decoder, scorer, prefix)
    scorer.close(prefix)
    assert guessed == plain
    assert counts.drafted > counts.passes  # it did guess
    if not temperature:
        assert counts.mean_accepted > 1.1


def drafting(rows: int = 2):
    drafter = PromptTokenDrafter(PromptTokens(np.eye(rows, 4, dtype=np.float32), "toy"), k=2)
    scorer = SimpleNamespace(
        name="tree:toy", capabilities=Capabilities(soft_tokens=True), embed=lambda tokens: np.zeros((1, 4), np.float32)
    )
    return drafter.start([1], scorer)


def logits(*best: int) -> np.ndarray:
    row = np.zeros(128, np.float32)
    for i, token in enumerate(best):
        row[token] = 9.0 - i
    return row


def test_the_next_guesses_are_those_of_the_prompt_tokens_below_the_last_accepted_node() -> None:
    state = drafting()
    draft = state.propose([1], 10)
    assert draft.tokens == [SOFT, SOFT] and draft.parents == [-1, 0]  # nothing known yet: only prompt tokens
    state.observe(Verified(draft, logits(5), [logits(6, 7), logits(8, 9)], [], [5]))
    draft = state.propose([1, 5], 10)
    assert draft.child(-1, 6) >= 0 and draft.child(-1, 7) >= 0
    assert draft.child(draft.child(-1, 6), 8) >= 0
    carried = [node for node, token in enumerate(draft.tokens) if token == SOFT]
    below = draft.child(-1, 6)
    rows = [logits(50 + node, 60 + node) if node in carried else logits(1) for node in range(len(draft))]
    state.observe(Verified(draft, logits(6), rows, [below], [6, 33]))
    first = next(node for node in carried if draft.parents[node] == below)
    again = state.propose([1, 5, 6, 33], 10)
    assert again.child(-1, 50 + first) >= 0


def test_forced_tokens_behind_the_drawn_one_use_up_the_nearest_guesses() -> None:
    state = drafting()
    draft = state.propose([1], 10)
    state.observe(Verified(draft, logits(5), [logits(6, 7), logits(8, 9)], [], [5, 6]))  # 6 was forced behind 5
    assert state.propose([1, 5, 6], 10).child(-1, 8) >= 0


def test_weights_are_worth_at_most_what_the_node_above_is() -> None:
    state = drafting(3)
    state.observe(Verified(state.propose([1], 9), logits(5), [logits(6, 7), logits(8, 9), logits(10, 11)], [], [5]))
    draft = state.propose([1, 5], 12)
    for node, parent in enumerate(draft.parents):
        assert draft.weights[node] <= (draft.weights[parent] if parent >= 0 else 1.0) + 1e-9


def test_an_engine_or_a_width_that_does_not_fit_is_refused() -> None:
    drafter = PromptTokenDrafter(PromptTokens(np.zeros((2, 4), np.float32), "toy"))
    with pytest.raises(UnsupportedByBackend, match="embedding rows"):
        drafter.start([1], SimpleNamespace(name="m", capabilities=Capabilities()))
    wide = SimpleNamespace(
        name="m", capabilities=Capabilities(soft_tokens=True), embed=lambda tokens: np.zeros((1, 8), np.float32)
    )
    with pytest.raises(UnsupportedByBackend, match="4 numbers a row"):
        drafter.start([1], wide)
