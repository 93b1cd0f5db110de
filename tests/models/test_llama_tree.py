"""The tree layout: what a pass says about a tree is what passes of one row say, whatever happened before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models import prepare
from thalweg.models.llama_tree import ROWS, LlamaTree, measured_exact_rows
from thalweg.models.scorer import SOFT, Forest, Prefix

TEXT = "The capital of France is Paris. The capital of Germany is Berlin. The capital of Italy is"


@pytest.fixture(scope="module")
def scorer() -> Iterator[LlamaTree]:
    choice = prepare.prepared("smollm2-135m:q8_0")
    scorer = LlamaTree(choice.path, streams=3, context=512, threads=1)
    yield scorer
    scorer.free()


def alone(scorer: LlamaTree, prefix: Prefix, tokens: list[int]) -> list[np.ndarray]:
    """Logits after each of `tokens`, one row a pass; the prefix is left as it was."""
    length, found = len(prefix.tokens), []
    for token in tokens:
        forest = Forest()
        node = forest.add(token, prefix=prefix)
        scores = scorer.score(forest)
        found.append(scores.logits(node))
        scorer.commit(scores, node)
    scorer.truncate(prefix, length)
    return found


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int, int]]:
    """(parent, token) of up to 20 nodes, parents first."""
    count = draw(st.integers(1, 20))
    return [(draw(st.integers(-1, i - 1)) if i else -1, draw(st.integers(100, 4000))) for i in range(count)]


@given(trees())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_node_has_the_logits_of_its_path_alone(scorer: LlamaTree, tree: list[tuple[int, int]]) -> None:
    prefix = scorer.open(scorer.tokenizer.encode(TEXT))
    forest = Forest()
    for parent, token in tree:
        forest.add(token, prefix=prefix) if parent < 0 else forest.add(token, parent=parent)
    scores = scorer.score(forest)
    for leaf in forest.leaves():
        path = forest.path(leaf)
        for node, expected in zip(path, alone(scorer, prefix, [forest.token[i] for i in path]), strict=True):
            assert np.array_equal(scores.logits(node), expected)
    scorer.close(prefix)


def test_going_on_from_any_path_is_as_if_it_had_been_written_token_by_token(scorer: LlamaTree) -> None:
    tokens = scorer.tokenizer.encode(TEXT)
    for kept in (["first"], ["first", "second"], ["other"], ["other", "last"]):
        prefix = scorer.open(tokens)
        forest = Forest()
        nodes = {"first": forest.add(500, prefix=prefix)}
        nodes["second"] = forest.add(600, parent=nodes["first"])
        nodes["other"] = forest.add(700, prefix=prefix)
        nodes["last"] = forest.add(800, parent=nodes["other"])
        scorer.commit(scorer.score(forest), nodes[kept[-1]])
        path = [forest.token[nodes[name]] for name in kept]
        assert prefix.tokens == tokens + path
        forest = Forest()
        node = forest.add(900, prefix=prefix)
        after = scorer.score(forest).logits(node).copy()
        scorer.close(prefix)
        again = scorer.open(tokens)
        assert np.array_equal(after, alone(scorer, again, [*path, 900])[-1])
        scorer.close(again)


def test_more_paths_and_rows_than_one_pass_holds(scorer: LlamaTree) -> None:
    prefix = scorer.open(scorer.tokenizer.encode(TEXT))
    forest = Forest()
    root = forest.add(500, prefix=prefix)
    leaves = [forest.add(1000 + i, parent=root) for i in range(2 * ROWS)]
    scores = scorer.score(forest)
    for i in (0, ROWS - 2, ROWS - 1, ROWS, 2 * ROWS - 1):
        assert np.array_equal(scores.logits(leaves[i]), alone(scorer, prefix, [500, 1000 + i])[-1])
    scorer.commit(scores, leaves[0])
    assert prefix.tokens[-2:] == [500, 1000]
    scorer.close(prefix)


def test_an_embedding_row_is_its_token(scorer: LlamaTree) -> None:
    prefix = scorer.open(scorer.tokenizer.encode(TEXT))
    forest = Forest()
    soft = forest.add(SOFT, prefix=prefix, soft=scorer.embed([500])[0])
    behind = forest.add(600, parent=soft)
    scores = scorer.score(forest)
    assert np.array_equal(scores.logits(soft), alone(scorer, prefix, [500])[0])
    assert np.array_equal(scores.logits(behind), alone(scorer, prefix, [500, 600])[1])
    with pytest.raises(ValueError, match="soft"):
        scorer.commit(scores, behind)
    scorer.close(prefix)


def test_prompts_are_read_to_the_same_state_however_they_were_cut(scorer: LlamaTree) -> None:
    tokens = [100 + 7 * i for i in range(150)]
    prefix = scorer.open(tokens)
    whole = alone(scorer, prefix, [500])[0]
    scorer.close(prefix)
    for _ in range(3):  # drop what is cached
        scorer.close(scorer.open([7]))
    prefix = scorer.open(tokens[:31])
    scorer.extend(prefix, tokens[31:32])
    scorer.extend(prefix, tokens[32:])
    assert np.array_equal(whole, alone(scorer, prefix, [500])[0])
    twin = scorer.fork(prefix)
    assert np.array_equal(whole, alone(scorer, twin, [500])[0])
    scorer.close(prefix)
    scorer.close(twin)


def test_the_largest_exact_pass_is_found(scorer: LlamaTree) -> None:
    assert measured_exact_rows(scorer, (2, 16, ROWS)) == ROWS


def test_errors_say_what_to_do_and_leave_the_scorer_usable(scorer: LlamaTree) -> None:
    with pytest.raises(ContextOverflow, match="larger `context`"):
        scorer.open([100] * 510)
    prefix = scorer.open([100] * 500)
    forest = Forest()
    node = forest.add(1, prefix=prefix)
    for _ in range(20):
        node = forest.add(1, parent=node)
    with pytest.raises(ContextOverflow):
        scorer.score(forest)
    with pytest.raises(ValueError, match="vocabulary"):
        scorer.extend(prefix, [10**6])
    others = [scorer.open([5, i]) for i in range(2)]
    with pytest.raises(ModelError, match="streams"):
        scorer.open([1, 2])
    for one in [prefix, *others]:
        scorer.close(one)
    with pytest.raises(ValueError, match="closed"):
        scorer.extend(prefix, [1])
    assert scorer.free_lanes == 3
