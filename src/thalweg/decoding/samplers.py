"""How a token is drawn from the allowed ones: greedy at temperature 0, else temperature with top-k and nucleus cuts.

Random numbers are keyed by (seed, position), so a draw depends on neither batch nor history.
Sources: nucleus sampling, Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"; top-k, Fan et al. 2018.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits


def uniform_number(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def pick(ids: NDArray[np.int64], logits: Logits, sampling: Sampling, position: int) -> tuple[int, float]:
    """Draw one token.

    Args:
        ids: allowed tokens.
        logits: their raw logits, aligned with `ids`.
        position: index of the token in the answer.

    Returns:
        The token, and its log-probability among the allowed ones at temperature 1.
    """
    top = logits.max()
    shifted = logits - top
    if np.float32(sampling.temperature) <= 0:  # a number too small for float32 is none
        chosen = int(shifted.argmax())  # ties: the lowest id
    else:
        chosen = _draw(shifted / np.float32(sampling.temperature), sampling, uniform_number(sampling.seed, position))
    logprob = float(shifted[chosen]) - float(np.log(np.exp(shifted).sum(dtype=np.float64)))
    return int(ids[chosen]), logprob


def _draw(scaled: Logits, sampling: Sampling, number: float) -> int:
    weights = np.exp(scaled.astype(np.float64))
    if 0 < sampling.top_k < len(weights):
        weights[weights < np.partition(weights, -sampling.top_k)[-sampling.top_k]] = 0
    if sampling.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        mass = np.cumsum(weights[order])
        kept = int(np.searchsorted(mass, sampling.top_p * mass[-1])) + 1
        weights[order[kept:]] = 0
    mass = np.cumsum(weights)
    return min(int(np.searchsorted(mass, number * mass[-1], side="right")), len(weights) - 1)
