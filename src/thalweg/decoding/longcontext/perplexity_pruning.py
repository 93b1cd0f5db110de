"""Perplexity pruning: the tokens of a text that a model finds least predictable are kept, whatever the question.

Baseline for `gemfilter`: prompt compression in the manner of LLMLingua, by surprisal of single tokens with the model
itself. Source: Jiang et al., 2023, "LLMLingua: compressing prompts for accelerated inference of large language models".
Cost: a full prompt with logits at every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.decoding.longcontext.selecting import best
from thalweg.models.scorer import Forest

ROWS = 64  # tokens whose logits are in memory at a time


def least_predictable(scorer: Any, tokens: Sequence[int], region: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Indices of the `count` tokens of ``region`` (begin >= 1, end) with the highest surprisal, ascending."""
    begin, end = region
    return begin + best(surprisals(scorer, tokens)[begin:end], count)


def surprisals(scorer: Any, tokens: Sequence[int]) -> NDArray[np.float32]:
    """-log p(token | those before it) of each token, nats, float32 [tokens]; 0 for the first two."""
    tokens = list(tokens)
    found = np.zeros(len(tokens), np.float32)
    prefix = scorer.open(tokens[:1])
    try:
        for start in range(1, len(tokens) - 1, ROWS):
            rows = tokens[start : min(start + ROWS, len(tokens) - 1)]
            forest, node = Forest(), -1
            for token in rows:
                node = forest.add(token, parent=node) if node >= 0 else forest.add(token, prefix=prefix)
            scores = scorer.score(forest)
            for i in range(len(rows)):
                found[start + i + 1] = -scores.logprobs(i)[tokens[start + i + 1]]
            scorer.commit(scores, node)
        return found
    finally:
        scorer.close(prefix)
