"""Laws of scores, pooling and choosing, against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thalweg.decoding.longcontext.selecting import best, pooled, scores_by_head, select
from thalweg.models.scorer import Probed


def made(seed: int, tokens: int, queries: int | None = None) -> Probed:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(4, queries or tokens, 8)).astype(np.float32)
    return Probed(1, query, rng.normal(size=(2, tokens, 8)).astype(np.float32))


@given(st.integers(0, 50), st.integers(1, 20))
def test_product_is_the_last_query_with_all_keys_of_its_head(seed: int, tokens: int) -> None:
    probed = made(seed, tokens)
    found = scores_by_head(probed, "product")
    for head in range(4):
        for at in range(tokens):
            expected = float(probed.query[head, -1] @ probed.key[head // 2, at])
            assert abs(found[head, at] - expected) < 1e-4


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 6))
def test_attention_is_the_mean_of_causal_softmaxes(seed: int, tokens: int, window: int) -> None:
    probed = made(seed, tokens)
    found = scores_by_head(probed, "attention", window)
    window = min(window, tokens)
    expected = np.zeros((4, tokens))
    for head in range(4):
        for row in range(tokens - window, tokens):
            seen = probed.key[head // 2, : row + 1] @ probed.query[head, row] / np.sqrt(8)
            weights = np.exp(seen - seen.max())
            expected[head, : row + 1] += weights / weights.sum() / window
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


@given(st.integers(0, 50))
def test_an_engine_that_gives_only_the_last_queries_gives_the_same_scores(seed: int) -> None:
    whole = made(seed, 12)
    part = Probed(1, whole.query[:, -4:], whole.key)
    for rule in ("attention", "product"):
        np.testing.assert_array_equal(scores_by_head(whole, rule, 4), scores_by_head(part, rule, 4))


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=30), st.sampled_from([1, 3, 5, 15]))
def test_pooling_averages_over_neighbours(values: list[float], width: int) -> None:
    found = pooled(np.array(values, np.float32), width)
    half = width // 2
    expected = [sum(values[max(0, i - half) : i + half + 1]) / width for i in range(len(values))]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 40))
def test_the_best_are_ascending_and_none_outside_is_better(values: list[int], count: int) -> None:
    scores = np.array(values, np.float32)
    chosen = best(scores, count).tolist()
    assert chosen == sorted(set(chosen)) and len(chosen) == min(count, len(values))
    left = [i for i in range(len(values)) if i not in chosen]
    assert all(scores[i] > scores[j] or (scores[i] == scores[j] and i < j) for i in chosen for j in left)


def test_only_the_region_is_chosen_from_and_only_by_the_heads_asked_for() -> None:
    probed = made(3, 30)
    chosen, scores = select(probed, (5, 25), 6, rule="attention", window=3, heads=(2,), pool=3)
    assert len(scores) == 20 and all(5 <= i < 25 for i in chosen)
    own = pooled(scores_by_head(probed, "attention", 3)[2, 5:25], 3)
    np.testing.assert_array_equal(chosen, 5 + best(own, 6))
