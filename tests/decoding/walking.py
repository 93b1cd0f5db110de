"""A stand-in for the weights: logits that depend on the tokens before them alone, so that decoders can be walked alone.

Decoders see no difference, and one law can be checked over hundreds of cases in the time of a few model calls.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.decoding import Decoder

LAST = 1  # the token before every answer


def logits_after(tokens: Sequence[int], size: int, salt: int = 0) -> np.ndarray:
    seed = zlib.crc32(np.asarray([salt, *tokens], np.int64).tobytes())
    return (2.5 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def drive(decoder: Decoder[Any], size: int, salt: int = 0) -> Any:
    """Run a decoder to its end."""
    kept: list[int] = []
    try:
        fragment = next(decoder)
        while True:
            paths: list[list[int]] = []
            for token, parent in zip(fragment.tokens, fragment.parents, strict=True):
                assert -1 <= parent < len(paths), "parents come before their children"
                paths.append((paths[parent] if parent >= 0 else kept) + [token])
            logits = [logits_after(path, size, salt) for path, want in zip(paths, fragment.wants, strict=True) if want]
            if fragment.keep:
                kept = paths[-1]
            fragment = decoder.send(logits)
    except StopIteration as stop:
        return stop.value


def chi_square_limit(degrees: int) -> float:
    """The value that chance exceeds once in 10,000 times (Wilson and Hilferty 1931)."""
    k = 2 / (9 * degrees)
    return degrees * (1 - k + 3.719 * k**0.5) ** 3
