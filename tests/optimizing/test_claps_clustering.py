"""Clusters of a vocabulary."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.optimizing.optimizers.claps_clustering import (
    kmeans,
    nearest_to_centres,
    thinned,
    vectors_of,
    vocabulary_words,
)


def blobs(count: int, each: int, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    centres = np.array([[20.0 * i, -20.0 * (i % 2)] for i in range(count)])
    return np.concatenate([centre + rng.normal(0, 0.5, (each, 2)) for centre in centres]).astype(np.float32)


def test_each_blob_gets_one_centre() -> None:
    rows = blobs(5, 40, 0)
    chosen = nearest_to_centres(rows, 5, random.Random(1))
    assert sorted(index // 40 for index in chosen) == [0, 1, 2, 3, 4]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 30))
def test_clusters_are_repeatable_distinct_and_never_more_than_rows(seed: int, clusters: int, count: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 4, (count, 2)).astype(np.float32)  # with equal rows
    chosen = nearest_to_centres(rows, clusters, random.Random(seed))
    assert chosen == nearest_to_centres(rows, clusters, random.Random(seed))
    assert 1 <= len(chosen) == len(set(chosen)) <= min(clusters, count)


def test_the_rounds_bring_rows_nearer_to_their_centres_than_the_start_does() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)

    def spread(centres: np.ndarray[Any, Any]) -> float:
        return float((((rows[:, None] - centres[None]) ** 2).sum(-1)).min(1).mean())

    start = rows[random.Random(0).sample(range(400), 12)]
    assert spread(kmeans(rows, 12, random.Random(0))) < 0.9 * spread(start)


def test_vocabulary_words_are_single_tokens_and_near_words_have_near_vectors(model: Any) -> None:
    words = vocabulary_words(model)
    assert len(words) > 10_000
    assert all(model.tokenizer.encode(" " + word) == [words[word]] for word in list(words)[::500])
    dog, cat, tax = (row / np.linalg.norm(row) for row in vectors_of(model, ["dog", "cat", "taxes"], words))
    assert dog @ cat > dog @ tax


def test_thinning_keeps_the_order_and_a_small_list_whole(model: Any) -> None:
    words = ["horse", "dog", "tax", "cat", "invoice", "cow", "bill"]
    assert thinned(model, words, 10, random.Random(0)) == words
    kept = thinned(model, words, 3, random.Random(0))
    assert kept == [word for word in words if word in kept]
    assert 1 <= len(kept) <= 3
