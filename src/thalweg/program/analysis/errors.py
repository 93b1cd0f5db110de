"""How errors of calls make up the error of an answer, for the ways in which answers are put together.

Bounds are theorems: a trial that breaks one shows a fault in the program or here. `calibrated` interpolates a call's
error by the size of its input, from measured sizes. Source: Chen et al. 2024, "On the design and analysis of LLM-based
algorithms", sections on counting, sorting, retrieval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from thalweg.errors import DataError

ErrorOf = Callable[[float], float]


def counting_bound(parts: Sequence[float]) -> float:
    """Largest error of a sum of counts whose parts are wrong by at most so much each."""
    return sum(abs(one) for one in parts)


def counting_deviation(parts: Sequence[float]) -> float:
    """Standard deviation of a sum of counts whose independent parts have these."""
    return math.sqrt(sum(one * one for one in parts))


def counting_expected(bias: float, deviation: float) -> float:
    """Mean distance from the truth of a sum of many parts: of a normal value with this mean and standard deviation."""
    if deviation <= 0:
        return abs(bias)
    z = bias / deviation
    return deviation * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + bias * math.erf(z / math.sqrt(2))


def merge_success(wrong: float, parts: int) -> float:
    """Probability that lists merged exactly are exact: every one of `parts` independent ones is.

    Args:
        wrong: probability that one list is not exact.
    """
    return (1 - wrong) ** max(0, parts)


def merge_bound(parts: Sequence[float]) -> float:
    """Largest error of one element of lists merged exactly, whose parts are wrong by at most so much each."""
    return max(parts, default=0.0)


def retrieval_success(missed: float, invented: float, parts: int) -> float:
    """Probability that a needle in one of `parts` independent chunks is found, if only sure answers count.

    Args:
        missed: probability that the chunk with the needle is not answered from. invented: that one without it is.
    """
    return (1 - missed) * (1 - invented) ** max(0, parts - 1)


def whole_in_chunks(length: int, size: int, needle: int, step: int | None = None) -> dict[int, float]:
    """In how many overlapping chunks a needle stands whole, with the probability of each number; 0: it is always cut.

    Chunks begin every `step` until one reaches the end; the needle stands anywhere with the same probability. With a
    step of half the size it is in one or two: far from the ends in two with the probability (step - needle + 1) / step.

    Args:
        length, size, needle: of the text, a chunk and the needle. step: default half of `size`.

    Raises:
        DataError: no such text or chunks.
    """
    found: dict[int, int] = {}
    for (whole, _), places in _chunks_with(length, size, needle, step).items():
        found[whole] = found.get(whole, 0) + places
    return {whole: places / (length - needle + 1) for whole, places in sorted(found.items())}


def overlapping_success(
    missed: float, invented: float, length: int, size: int, needle: int, step: int | None = None, *,
    wrong: float = 0.0, cut: float | None = None,
) -> float:  # fmt: skip
    """Probability that a needle is found by overlapping chunks, if only sure answers count and all must agree: one of
    the chunks in which it stands whole is answered from, and none of the others.

    Args:
        missed, invented: as in `retrieval_success`. length, size, needle, step: as in `whole_in_chunks`.
        wrong: probability that a chunk with the needle gives something else, which is part of `missed`.
        cut: that a chunk with a part of the needle gives anything (default: as `invented`).
    """
    step = size // 2 if step is None else step
    cut = invented if cut is None else cut
    parts = len(range(0, max(1, length - size + step), step))
    silent = max(0.0, missed - wrong)
    found = sum(
        places * ((1 - wrong) ** whole - silent**whole) * (1 - cut) ** partly
        * (1 - invented) ** max(0, parts - whole - partly)
        for (whole, partly), places in _chunks_with(length, size, needle, step).items()
        if whole
    )  # fmt: skip
    return found / (length - needle + 1)


def _chunks_with(length: int, size: int, needle: int, step: int | None) -> dict[tuple[int, int], int]:
    """Places of the needle by (chunks that hold it whole, chunks that hold a part of it)."""
    step = size // 2 if step is None else step
    if not 0 < needle <= length or not 0 < step <= size:
        raise DataError(
            f"A needle of {needle} in a text of {length}, in chunks of {size} every {step}.",
            "Give 0 < needle <= length and 0 < step <= size.",
        )
    starts = range(0, max(1, length - size + step), step)
    found: dict[tuple[int, int], int] = {}
    for at in range(length - needle + 1):
        near = [(starts[i], min(starts[i] + size, length)) for i in range(max(0, (at - size) // step), len(starts))
                if starts[i] < at + needle]  # fmt: skip
        whole = sum(start <= at and at + needle <= stop for start, stop in near)
        touched = sum(at < stop for _, stop in near)
        found[whole, touched - whole] = found.get((whole, touched - whole), 0) + 1
    return found


def hierarchical_error(leaf: float, merge: float, parts: int) -> float:
    """Largest error when `parts` answers are merged two by two by calls, each adding `merge`: by level."""
    return leaf + merge * math.ceil(math.log2(parts)) if parts > 1 else leaf


def incremental_error(leaf: float, merge: float, parts: int) -> float:
    """Largest error when answers are merged one after the other, each merge adding `merge`."""
    return leaf + merge * max(0, parts - 1)


def calibrated(measured: Mapping[float, float]) -> ErrorOf:
    """A call's error by the size of its input: linear between measured sizes, constant beyond them.

    Raises:
        DataError: nothing was measured.
    """
    if not measured:
        raise DataError("No size was measured.", "Give the error at one size or more.")
    points = sorted(measured.items())

    def error(size: float) -> float:
        if size <= points[0][0]:
            return points[0][1]
        for (low, start), (high, end) in zip(points, points[1:], strict=False):
            if size <= high:
                return start + (end - start) * (size - low) / (high - low)
        return points[-1][1]

    return error
