"""The whole words of a model's vocabulary, thinned out by meaning: one word a cluster of token embeddings.

Words come from the model's tokenizer and their vectors from its own embedding table (GGUF files); other models, and
words that a user gives, are placed by the packaged MiniLM. k-means++ is Arthur & Vassilvitskii 2007, the iterations
are Lloyd's. Cost: some seconds for 25,000 words and 500 clusters; calls no model.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import SearchError

Vectors = NDArray[np.float32]  # [rows, width]

_ROUNDS = 12
_ROWS = 4096  # of a block of distances


def vocabulary_words(model: Any) -> dict[str, int]:
    """The words that are one token of their own behind a space, in the vocabulary's order: word -> token id.

    Raises:
        SearchError: the model shows no vocabulary (a remote one).
    """
    pieces = getattr(getattr(model, "tokenizer", None), "pieces", None)
    if pieces is None:
        raise SearchError(
            f"{model.name} shows no vocabulary to take words from.", "Give `words`, or search with a local model."
        )
    found: dict[str, int] = {}
    for token, piece in enumerate(pieces):
        text = piece.decode("utf-8", "replace")
        word = text[1:]
        if text[:1] == " " and len(word) >= 2 and word.isascii() and word.isalpha():
            found.setdefault(word, token)
    return found


def thinned(model: Any, words: Sequence[str], clusters: int, rng: random.Random) -> list[str]:
    """The words nearest to the centres of `clusters` clusters (default: the model's words), in the order given."""
    tokens = {} if words else vocabulary_words(model)
    words = list(dict.fromkeys(words)) or list(tokens)
    if len(words) <= clusters:
        return words
    chosen = nearest_to_centres(vectors_of(model, words, tokens), clusters, rng)
    return [words[index] for index in chosen]


def vectors_of(model: Any, words: Sequence[str], tokens: dict[str, int]) -> Vectors:
    """One vector a word: the mean of its tokens' input embeddings, or MiniLM's where those are not to be had."""
    table = _embedding_table(model)
    if table is None:
        from thalweg.models.minilm import MiniLM

        return MiniLM().embed(words)
    ids = [[tokens[word]] if word in tokens else model.tokenizer.encode(" " + word) for word in words]
    return np.stack([table[one].mean(axis=0) for one in ids])


def _embedding_table(model: Any) -> Vectors | None:
    path = str(getattr(getattr(model, "scorer", None), "path", ""))
    if not path.endswith(".gguf"):
        return None
    try:
        from thalweg.models.gguf import embeddings

        return embeddings(path)
    except ImportError:  # the `gguf` package comes with an extra
        return None


def nearest_to_centres(rows: Vectors, clusters: int, rng: random.Random) -> list[int]:
    """For each k-means cluster with rows, the index of its row nearest to the centre; ascending."""
    centres = kmeans(rows, clusters, rng)
    best: dict[int, tuple[float, int]] = {}
    for start in range(0, len(rows), _ROWS):
        far = _distances(rows[start : start + _ROWS], centres)
        owners = far.argmin(axis=1)
        for index, (owner, distance) in enumerate(zip(owners.tolist(), far.min(axis=1).tolist(), strict=True)):
            best[owner] = min(best.get(owner, (np.inf, 0)), (distance, start + index))
    return sorted(index for _, index in best.values())


def kmeans(rows: Vectors, clusters: int, rng: random.Random) -> Vectors:
    """Centres of k-means clusters, float32 [at most clusters, width]; equal seeds give equal centres.

    Source: Lloyd 1982, started as Arthur & Vassilvitskii 2007. A cluster that loses all its rows keeps its centre.
    """
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    centres = _plus_plus(rows, min(clusters, len(rows)), rng)
    before: NDArray[Any] | None = None
    for _ in range(_ROUNDS):
        blocks = [_distances(rows[i : i + _ROWS], centres).argmin(axis=1) for i in range(0, len(rows), _ROWS)]
        nearest = np.concatenate(blocks)
        if before is not None and (nearest == before).all():
            break
        before = nearest
        order = np.argsort(nearest, kind="stable")
        owners, starts = np.unique(nearest[order], return_index=True)
        sizes = np.diff([*starts, len(rows)])
        centres[owners] = np.add.reduceat(rows[order], starts, axis=0) / sizes[:, None]
    return centres


def _plus_plus(rows: Vectors, clusters: int, rng: random.Random) -> Vectors:
    """Rows drawn one after the other, each with a chance that grows with the square of its distance to the others."""
    chosen = [rng.randrange(len(rows))]
    far = _distances(rows, rows[chosen[-1:]])[:, 0]
    while len(chosen) < clusters:
        heap = np.cumsum(far, dtype=np.float64)
        if heap[-1] <= 0:  # all that is left equals a centre
            break
        chosen.append(int(np.searchsorted(heap, rng.random() * heap[-1], side="right")))
        np.minimum(far, _distances(rows, rows[chosen[-1:]])[:, 0], out=far)
    return rows[chosen].copy()


def _distances(rows: Vectors, centres: Vectors) -> Vectors:
    """Squared distances [rows, centres]."""
    squares = (rows * rows).sum(axis=1)[:, None] - 2 * (rows @ centres.T) + (centres * centres).sum(axis=1)[None]
    return np.maximum(squares, 0)
