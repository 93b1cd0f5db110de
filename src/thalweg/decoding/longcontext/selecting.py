"""Which tokens of a prompt one layer looks at: scores of keys under the last queries, pooled, and the best of them.

Two rules. ``product`` is the published one: the last query's products with all keys, summed over heads; no scale, no
softmax. ``attention`` sums attention weights over the queries of the question, so that no head or key wins by its
length alone; it needs no more computation, and found planted facts with a small model where ``product`` did not.

Source: Shi et al., 2024, "Discovering the gems in early layers" (``product``); Li et al., 2024, "SnapKV" (a window of
queries). Cost: one product of a few queries with all keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thalweg.models.scorer import Probed

Rule = Literal["attention", "product"]


def scores_by_head(probed: Probed, rule: Rule = "attention", window: int = 1) -> NDArray[np.float32]:
    """How much each head looks at each token, float32 [heads, tokens].

    Args:
        window: how many of the last queries look (``attention``).
    """
    count = 1 if rule == "product" else min(window, probed.query.shape[1])
    query = probed.query[:, probed.query.shape[1] - count :].astype(np.float32)
    key = np.repeat(probed.key.astype(np.float32), len(query) // len(probed.key), axis=0)
    found = np.einsum("hqw,hnw->hqn", query, key, optimize=True)
    if rule == "product":
        return found[:, 0]
    length = key.shape[1]
    later = np.arange(length) > np.arange(length - count, length)[:, None]
    found = np.where(later, -np.inf, found / np.sqrt(key.shape[2]))
    found = np.exp(found - found.max(-1, keepdims=True))
    return (found / found.sum(-1, keepdims=True)).mean(1)


def pooled(scores: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Averages over `width` neighbours (odd, stride 1) along the last axis; beyond the ends lie zeros."""
    if width == 1:
        return scores
    half = width // 2
    padded = np.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(half, half)])
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1).mean(-1, dtype=np.float32)


def best(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices of the `count` highest of `scores` [tokens], ascending; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[: max(0, count)])


def select(
    probed: Probed, region: tuple[int, int], count: int, *, rule: Rule, window: int, heads: Sequence[int], pool: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` best tokens of ``region`` (begin, end), ascending, and the scores of all tokens in it.

    Args:
        heads: those that are summed; empty for all.
    """
    by_head = scores_by_head(probed, rule, window)
    chosen = by_head[list(heads)] if heads else by_head
    begin, end = region
    scores = pooled(chosen.sum(0)[begin:end], pool)
    return begin + best(scores, count), scores
