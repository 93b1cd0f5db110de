"""The llama.cpp engine keeps the `Scorer` protocol: exact scores, exact bookkeeping, errors that leave it usable."""

from __future__ import annotations

import random
from collections.abc import Iterator

import llama_cpp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thalweg.models.llama_batch import padded as padded_lengths
from thalweg.models.llama_batch import pieces
from thalweg.models.llama_cpp import LlamaCpp
from thalweg.models.scorer import Forest, Prefix

WORDS = list(range(1000, 1300))
LAW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def everything_given_back(scorer: LlamaCpp) -> Iterator[None]:
    yield
    for lane in scorer._lanes:
        if lane.owner is not None:
            scorer.close(lane.owner)
    assert scorer.free_lanes == 8


def score_after(scorer: LlamaCpp, prefix: Prefix, tokens: list[int]) -> np.ndarray:
    """Logits after `tokens` behind `prefix`, computed the one way that does not depend on their number."""
    forest = Forest()
    node = forest.chain(prefix, tokens, uniform=True)
    return scorer.score(forest).logits(node).copy()


def forget(scorer: LlamaCpp) -> None:
    """Drop every cached beginning that no open prefix holds."""
    for prefix in [scorer.open([3]) for _ in range(scorer.free_lanes)]:
        scorer.close(prefix)


def from_scratch(scorer: LlamaCpp, tokens: list[int], tail: list[int]) -> np.ndarray:
    forget(scorer)
    prefix = scorer.open(tokens)
    assert prefix.cached <= 1
    logits = score_after(scorer, prefix, tail)
    scorer.close(prefix)
    return logits


def assert_lanes_agree(scorer: LlamaCpp) -> None:
    """What we believe a lane holds is what the engine says it holds."""
    for lane in scorer._lanes:
        last = llama_cpp.llama_memory_seq_pos_max(scorer._memory, lane.index)
        assert last == len(lane.tokens) + len(lane.scored) - 1
        if lane.owner is not None:
            assert lane.tokens == lane.owner.tokens


# -- prefixes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shared", "length"), [(40, 80), (60, 61), (150, 290), (70, 70)])
def test_a_cached_beginning_is_reused_and_changes_no_logit(scorer: LlamaCpp, shared: int, length: int) -> None:
    prompt = WORDS[:length]
    want = from_scratch(scorer, prompt, [5])
    forget(scorer)
    scorer.close(scorer.open(prompt[:shared]))
    prefix = scorer.open(prompt)
    assert shared - 1 <= prefix.cached <= shared
    assert np.array_equal(score_after(scorer, prefix, [5]), want)


def test_a_beginning_is_copied_from_a_prefix_that_is_still_open(scorer: LlamaCpp) -> None:
    want = from_scratch(scorer, WORDS[:60] + [7, 8], [5])
    first = scorer.open(WORDS[:60])
    second = scorer.open(WORDS[:60] + [7, 8])
    assert second.cached == 60 and second.lane != first.lane
    assert np.array_equal(score_after(scorer, second, [5]), want)


@pytest.mark.parametrize("pieces", [[1], [2], [1, 1, 3], [130]])
def test_an_extended_prefix_equals_one_opened_at_once(scorer: LlamaCpp, pieces: list[int]) -> None:
    total = 60 + sum(pieces)
    want = from_scratch(scorer, WORDS[:total], [5])
    forget(scorer)
    prefix = scorer.open(WORDS[:60])
    for count in pieces:
        at = len(prefix.tokens)
        assert scorer.extend(prefix, WORDS[at : at + count]) is prefix
    assert prefix.tokens == WORDS[:total]
    assert np.array_equal(score_after(scorer, prefix, [5]), want)


def test_a_fork_is_independent_and_equal(scorer: LlamaCpp) -> None:
    prefix = scorer.open(WORDS[:50])
    want = score_after(scorer, prefix, [5, 6])  # leaves scored rows behind the prefix: a fork must not carry them
    twin = scorer.fork(prefix)
    scorer.extend(prefix, [9, 9])
    assert twin.tokens == WORDS[:50] and twin.lane != prefix.lane
    assert np.array_equal(score_after(scorer, twin, [5, 6]), want)
    assert_lanes_agree(scorer)


def test_truncate_then_extend_equals_from_scratch(scorer: LlamaCpp) -> None:
    want = from_scratch(scorer, WORDS[:40] + [8, 9, 10], [5])
    prefix = scorer.open(WORDS[:90])
    scorer.truncate(prefix, 40)
    scorer.extend(prefix, [8, 9, 10])
    assert np.array_equal(score_after(scorer, prefix, [5]), want)
    for length in (0, 44):
        with pytest.raises(ValueError, match="cannot keep"):
            scorer.truncate(prefix, length)


# -- scoring and committing -----------------------------------------------------------------------------------


def test_scoring_changes_no_prefix(scorer: LlamaCpp) -> None:
    prefix = scorer.open(WORDS[:50])
    first = score_after(scorer, prefix, [5, 6, 7])
    score_after(scorer, prefix, [8])
    assert prefix.tokens == WORDS[:50]
    assert np.array_equal(score_after(scorer, prefix, [5, 6, 7]), first)


def test_a_committed_chain_equals_from_scratch(scorer: LlamaCpp) -> None:
    want = from_scratch(scorer, WORDS[:60] + [7, 8, 9], [5])
    prefix = scorer.open(WORDS[:60])
    forest = Forest()
    node = forest.chain(prefix, [7, 8, 9, 10])
    scorer.commit(scorer.score(forest), forest.parent[node])  # all but the last
    assert prefix.tokens == WORDS[:60] + [7, 8, 9]
    assert np.array_equal(score_after(scorer, prefix, [5]), want)
    assert_lanes_agree(scorer)


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_any_path_of_a_tree_can_be_committed(scorer: LlamaCpp, taken: int) -> None:
    want = from_scratch(scorer, WORDS[:70] + [500 + taken], [5])
    prefix = scorer.open(WORDS[:70])
    forest = Forest()
    nodes = [forest.add(500 + i, prefix=prefix) for i in range(3)]
    scorer.commit(scorer.score(forest), nodes[taken])
    assert np.array_equal(score_after(scorer, prefix, [5]), want)


def test_scores_of_an_earlier_forest_commit_their_own_tokens(scorer: LlamaCpp) -> None:
    want = from_scratch(scorer, WORDS[:40] + [500, 501], [5])
    prefix = scorer.open(WORDS[:40])
    early, late = Forest(), Forest()
    node = early.chain(prefix, [500, 501])
    scores = scorer.score(early)
    late.chain(prefix, [900, 901])
    scorer.score(late)
    scorer.commit(scores, node)
    assert np.array_equal(score_after(scorer, prefix, [5]), want)


@LAW
@given(parents=st.lists(st.integers(-1, 8), min_size=2, max_size=9), seed=st.integers(0, 999))
def test_a_tree_scores_as_its_paths_do(scorer: LlamaCpp, parents: list[int], seed: int) -> None:
    prefix = scorer.open(WORDS[seed % 20 : seed % 20 + 45])
    forest = Forest()
    for i, parent in enumerate(parents):
        parent = min(parent, i - 1)
        forest.add(2000 + seed + i, prefix=prefix if parent < 0 else None, parent=parent)
    forest.uniform.add(0)
    scores = scorer.score(forest)
    tree = [scores.logits(node).copy() for node in range(len(forest))]
    for node in range(len(forest)):
        path = [forest.token[i] for i in forest.path(node)]
        assert np.array_equal(score_after(scorer, prefix, path), tree[node])
    scorer.close(prefix)


@LAW
@given(st.lists(st.tuples(st.integers(5, 150), st.integers(1, 6)), min_size=2, max_size=7))
def test_batch_mates_change_no_logit(scorer: LlamaCpp, requests: list[tuple[int, int]]) -> None:
    prefixes = [scorer.open(WORDS[i : i + length]) for i, (length, _) in enumerate(requests)]
    tails = [[3000 + i * 10 + k for k in range(count)] for i, (_, count) in enumerate(requests)]
    alone = []
    for prefix, tail in zip(prefixes, tails, strict=True):
        forest = Forest()
        node = forest.chain(prefix, tail)
        alone.append(scorer.score(forest).logits(node).copy())
    forest = Forest()
    nodes = [forest.chain(prefix, tail) for prefix, tail in zip(prefixes, tails, strict=True)]
    scores = scorer.score(forest)
    for node, want in zip(nodes, alone, strict=True):
        assert np.array_equal(scores.logits(node), want)
    assert_lanes_agree(scorer)
    for prefix in prefixes:
        scorer.close(prefix)


def test_only_wanted_nodes_have_logits(scorer: LlamaCpp) -> None:
    prefix = scorer.open(WORDS[:10])
    forest = Forest()
    node = forest.chain(prefix, [5, 6])
    scores = scorer.score(forest)
    assert scores.logits(node).shape == (scorer.tokenizer.size,)
    assert np.exp(scores.logprobs(node).astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="did not ask"):
        scores.logits(forest.parent[node])


def test_an_empty_forest_costs_nothing(scorer: LlamaCpp) -> None:
    assert scorer.score(Forest()).rows == 0


@LAW
@given(seed=st.integers(0, 10_000))
def test_no_operation_leaks_a_lane_or_loses_count(scorer: LlamaCpp, seed: int) -> None:
    draw = random.Random(seed)
    held: list[Prefix] = []
    for _ in range(30):
        act = draw.choice(["open", "fork", "extend", "truncate", "close", "score", "score", "commit"])
        prefix = draw.choice(held) if held else None
        if act == "open" and scorer.free_lanes:
            start = draw.randrange(4)
            held.append(scorer.open(WORDS[start : start + draw.randint(1, 60)]))
        elif prefix is None:
            continue
        elif act == "fork" and scorer.free_lanes:
            held.append(scorer.fork(prefix))
        elif act == "extend":
            scorer.extend(prefix, WORDS[: draw.randint(0, 5)])
        elif act == "truncate":
            scorer.truncate(prefix, draw.randint(1, len(prefix.tokens)))
        elif act == "close":
            scorer.close(prefix)
            held.remove(prefix)
        else:
            forest = Forest()
            chosen = draw.sample(held, draw.randint(1, len(held)))
            for one in chosen:
                node = forest.chain(one, WORDS[: draw.randint(1, 4)])
                if draw.random() < 0.3:
                    forest.add(77, parent=node)
                    forest.add(78, prefix=one)
            scores = scorer.score(forest)
            if act == "commit":
                scorer.commit(scores, draw.randrange(len(forest)))
        assert scorer.free_lanes == 8 - len(held)
        assert_lanes_agree(scorer)
    for prefix in held:
        scorer.close(prefix)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_padding_leaves_no_lone_row_and_stays_within_the_reserve(lengths: list[int]) -> None:
    padded = padded_lengths(lengths)
    different = sorted(set(padded))
    assert all(0 <= p - n <= 4 for p, n in zip(padded, lengths, strict=True)) and min(padded) >= 2
    assert all(b - a > 1 for a, b in zip(different, different[1:], strict=False))


@given(st.integers(2, 3000))
def test_prompts_are_cut_into_pieces_of_two_rows_or_more(count: int) -> None:
    assert sum(pieces(count)) == count and min(pieces(count)) >= 2 and max(pieces(count)) <= 128
