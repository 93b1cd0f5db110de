"""What every local engine checks before it computes: token ids, room in the context, a free stream."""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ContextOverflow, ModelError


def check_tokens(tokens: Sequence[int], size: int) -> None:
    """Raises ValueError for an id outside a vocabulary of `size`."""
    for token in tokens:
        if not 0 <= token < size:
            raise ValueError(f"token {token} is outside the vocabulary of {size}")


def check_room(name: str, context: int, length: int, more: int, *, reserved: int = 0) -> None:
    """Raises ContextOverflow where `more` tokens do not fit behind `length` in a context that keeps `reserved` free."""
    if length + more > context - reserved:
        raise ContextOverflow(
            f"{length} + {more} tokens do not fit the {context}-token context of {name}.",
            'Shorten the input, set `overflow="truncate"`, or load the model with a larger `context`.',
        )


def all_in_use(name: str, streams: int) -> ModelError:
    """The error of an engine whose prefixes are all open."""
    return ModelError(
        f"All {streams} streams of {name} are in use.", "Close a prefix, or load the model with more `streams`."
    )


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    limit = min(len(a), len(b))
    if a[:limit] == b[:limit]:
        return limit
    low, high = 0, limit  # the beginning of length `low` is common, that of length `high` is not
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
