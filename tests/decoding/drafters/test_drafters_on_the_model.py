"""With every drafter the real model writes, token for token, what it writes without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.decoding.budget import Budget
from thalweg.decoding.drafters.lookahead import Lookahead
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.decoding.drafters.rasd import Fuse, Retrieve
from thalweg.decoding.drafters.suffix_store import SuffixStore
from thalweg.decoding.drafters.token_recycling import TokenRecycling
from thalweg.eval.benches.speculation import Free, measure, rendered, replay, write
from thalweg.eval.benches.speculation_texts import CATEGORIES, corpus, prompts, questions
from thalweg.models.request import Sampling

LIMIT = 24


@pytest.fixture(scope="module")
def tree(model_path: Path) -> Iterator[Any]:
    from thalweg.models.llama_tree import LlamaTree

    scorer = LlamaTree(model_path, context=512, threads=1, streams=1)
    yield scorer
    scorer.free()


@pytest.fixture(scope="module")
def asked(tree: Any) -> list[Any]:
    """A question whose answer quotes, and one whose answer does not."""
    return rendered(tree, [("rag", questions()[0]), ("chat", prompts()[1][1])])


@pytest.fixture(scope="module")
def plain(tree: Any, asked: list[Any]) -> list[list[int]]:
    return [write(tree, prompt.tokens, Free(tree.tokenizer), limit=LIMIT)[0] for prompt in asked]


def drafters(tree: Any) -> dict[str, Any]:
    store = SuffixStore.build(corpus(), tree.tokenizer)
    return {
        "prompt lookup": PromptLookup(),
        "token recycling": TokenRecycling(),
        "lookahead": Lookahead(),
        "fused": Fuse(TokenRecycling(), Retrieve(store)),
    }


def fixed(size: int) -> Budget:
    return Budget(lambda rows: 1.0, max_rows=160, size=size)


@pytest.mark.parametrize("name", ["prompt lookup", "token recycling", "lookahead", "fused"])
def test_output_is_identical_to_greedy(tree: Any, asked: list[Any], plain: list[list[int]], name: str):
    drafter = drafters(tree)[name]
    for prompt, expected in zip(asked, plain, strict=True):
        tokens, counts, _, _ = write(tree, prompt.tokens, Free(tree.tokenizer), drafter, fixed(7), limit=LIMIT)
        assert tokens == expected
        assert counts.accepted + counts.passes == counts.tokens
        assert max(counts.rows) <= 8


def test_output_is_identical_to_greedy_with_eighty_nodes(tree: Any, asked: list[Any], plain: list[list[int]]):
    warm, wide = TokenRecycling(), TokenRecycling(tree="tr80")
    write(tree, asked[1].tokens, Free(tree.tokenizer), warm, fixed(7), limit=LIMIT)
    wide.start(asked[1].tokens, tree)
    assert warm.matrix is not None and wide.matrix is not None
    wide.matrix[:] = warm.matrix
    tokens, counts, _, _ = write(tree, asked[1].tokens, Free(tree.tokenizer), wide, fixed(80), limit=LIMIT)
    assert tokens == plain[1]
    assert max(counts.rows) > 63  # more than one pass of the engine takes
    assert counts.tokens > 2 * counts.passes  # the answer is known: the matrix holds its bigrams


def test_output_is_identical_when_drawn(tree: Any, asked: list[Any]):
    budgets: dict[str, Budget] = {name: fixed(3) for name in drafters(tree)}
    sampling = Sampling(temperature=1.0, seed=5)
    measured = measure(tree, drafters(tree), asked[:1], limit=12, sampling=sampling, budgets=budgets)
    assert [of.identical for of in measured.values()] == [1.0] * 4


def test_an_answer_seen_before_is_written_in_few_passes(tree: Any, asked: list[Any], plain: list[list[int]]):
    cache = Lookahead()
    passes = [
        write(tree, asked[1].tokens, Free(tree.tokenizer), cache, fixed(8), limit=LIMIT)[1].passes for _ in range(2)
    ]
    assert 2 * passes[1] < passes[0]


@pytest.mark.parametrize("made", [PromptLookup, Lookahead])
def test_counting_over_a_known_answer_is_counting_with_the_model(tree, asked, plain, made):
    _, counts, _, _ = write(tree, asked[0].tokens, Free(tree.tokenizer), made(), fixed(7), limit=LIMIT)
    assert len(plain[0]) == LIMIT - 1, "the answer must be cut off for the end token to be no part of it"
    passes, rows = replay(made(), tree, asked[0].tokens, plain[0], 7)
    assert abs(passes - counts.passes) <= 1  # the loop does not guess beyond the limit
    assert passes <= rows


def test_the_texts_are_those_that_were_promised():
    texts = prompts()
    assert [kind for kind, _ in texts] == [kind for kind in CATEGORIES for _ in range(8)]
    assert len({text for _, text in texts}) == 48 and texts == prompts()
    assert len(set(questions())) == 60 and questions(1) != questions(2) and set(questions(1)) == set(questions(2))
