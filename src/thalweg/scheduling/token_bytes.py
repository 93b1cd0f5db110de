"""Token ids as bytes, four each: spans of prompts slice, hash and compare at the speed of memory.

What the token tree and the planners hold instead of lists. Cost: 6 ns a token from a list, 2 from an array.
"""

from __future__ import annotations

from array import array
from typing import Any

from thalweg.errors import DataError

WIDTH = 4  # bytes a token


def token_bytes(tokens: Any, *, row: int | None = None) -> bytes:
    """Token ids as bytes, four each, which compare and slice much faster than lists.

    Args:
        tokens: a list, tuple, array or numpy array of ids of 0 to 2**32 - 1; bytes are taken as they are.

    Raises:
        DataError: something else.
    """
    if isinstance(tokens, bytes):
        return tokens
    try:
        if hasattr(tokens, "astype"):
            if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or (tokens.size and int(tokens.min()) < 0):
                raise TypeError("not a row of token ids")
            return tokens.astype("uint32").tobytes()
        if isinstance(tokens, str):
            raise TypeError("text")
        return array("I", tokens).tobytes()
    except (TypeError, ValueError, OverflowError) as error:
        where = "" if row is None else f" {row}"
        raise DataError(
            f"The tokens of request{where} are {type(tokens).__name__}: {error}.",
            "Pass ids from 0 to 4294967295 in a list or in an array with one axis.",
            row=row,
        ) from None


def common_bytes(a: bytes, b: bytes, start: int = 0) -> int:
    """How far `a` and `b` are equal, where they are known to be equal up to `start`. In bytes."""
    low, high = start, min(len(a), len(b))
    if a[low:high] == b[low:high]:
        return high
    step = 64
    while low + step < high and a[low : low + step] == b[low : low + step]:
        low, step = low + step, 2 * step
    high = min(high, low + step)
    while high - low > 1:  # equal up to `low`, different somewhere before `high`
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
