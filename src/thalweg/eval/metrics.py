"""Figures of agreement and of confidence, from two lists of the same length.

`expected` and `got` are the right and the given labels, row by row; anything with equality will do. None (a row that
failed) is an answer like any other, so it is wrong unless None was expected. `confidence` is the probability in [0, 1]
claimed for each answer, `correct` whether it was right. No figure depends on the order of the rows. Cost: one pass.
Sources: E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference; G. W. Brier (1950),
Verification of forecasts expressed in terms of probability; M. P. Naeini, G. Cooper, M. Hauskrecht (2015), Obtaining
well calibrated probabilities using Bayesian binning.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import DataError


@dataclass(frozen=True)
class ClassScore:
    """How well one label was found. All but `support` (rows) are shares in [0, 1]."""

    label: Hashable
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose confidence lies in (low, high]; the first bin holds 0 as well.

    `confidence` is their mean confidence and `accuracy` the share of them that was right, both None when `count` is 0.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def accuracy(expected: Sequence[Any], got: Sequence[Any]) -> float:
    """The share of rows, in [0, 1], whose two labels are equal.

    Raises:
        DataError: no rows, or lists of different lengths.
    """
    return float(matches(expected, got).mean())


def matches(expected: Sequence[Any], got: Sequence[Any]) -> NDArray[np.bool_]:
    """Whether the two labels of each row are equal: [rows].

    Raises:
        DataError: no rows, or lists of different lengths.
    """
    _check_lengths(expected=expected, got=got)
    return np.fromiter((bool(e == g) for e, g in zip(expected, got, strict=True)), bool, len(expected))


def labels_of(*columns: Iterable[Hashable]) -> list[Hashable]:
    """Every label that occurs, once, in an order that does not depend on the order of the rows (sorted within a type).

    Raises:
        DataError: a label cannot be hashed, so labels cannot be counted.
    """
    distinct: set[Hashable] = set()
    for column in columns:
        for row, label in enumerate(column):
            try:
                distinct.add(label)
            except TypeError as error:
                raise DataError(
                    f"The label {label!r} of row {row} cannot be counted: {error}.",
                    "Compare values that can be hashed: strings, numbers, tuples, frozen data classes.",
                    row=row,
                ) from error
    try:
        return sorted(distinct, key=lambda label: (type(label).__name__, label))  # type: ignore[arg-type, return-value]
    except TypeError:
        return sorted(distinct, key=lambda label: (type(label).__name__, repr(label)))


def confusion(expected: Sequence[Hashable], got: Sequence[Hashable], labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """How often each label was given for each: [labels, labels], counts; row = expected, column = got.

    Raises:
        DataError: no rows, lists of different lengths, a label that is not in `labels`, or one that is there twice.
    """
    _check_lengths(expected=expected, got=got)
    place = {label: index for index, label in enumerate(labels)}
    if len(place) != len(labels):
        twice = next(label for index, label in enumerate(labels) if place[label] != index)
        raise DataError(f"`labels` holds {twice!r} twice.", "Name every label once.")

    def places(name: str, column: Sequence[Hashable]) -> NDArray[np.int64]:
        found = np.empty(len(column), np.int64)
        for row, label in enumerate(column):
            if label not in place:
                raise DataError(
                    f"`{name}` has the label {label!r} in row {row}, which is not one of the {len(place)} `labels`.",
                    "Add it to `labels`, or pass `labels_of(expected, got)`.",
                    row=row,
                    column=name,
                )
            found[row] = place[label]
        return found

    cells = places("expected", expected) * len(labels) + places("got", got)
    return np.bincount(cells, minlength=len(labels) ** 2).reshape(len(labels), len(labels)).astype(np.int64)


def per_class(expected: Sequence[Hashable], got: Sequence[Hashable]) -> list[ClassScore]:
    """Precision, recall, F1 and support of every label that occurs in either list, in the order of `labels_of`.

    precision = right / given, recall = right / support, f1 = 2 right / (given + support); a share of nothing is 0.

    Raises:
        DataError: no rows, lists of different lengths, or labels that cannot be hashed.
    """
    _check_lengths(expected=expected, got=got)
    labels = labels_of(expected, got)
    counts = confusion(expected, got, labels)
    right, given, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)  # each [labels]
    return [
        ClassScore(label, _share(r, g), _share(r, s), _share(2 * r, g + s), s)
        for label, r, g, s in zip(labels, right.tolist(), given.tolist(), support.tolist(), strict=True)
    ]


def reliability_bins(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> list[ReliabilityBin]:
    """The rows parted into `bins` equal widths of confidence, empty ones included.

    Args:
        confidence: [rows], probabilities in [0, 1].
        correct: [rows], booleans (or 0 and 1).
        bins: how many.

    Raises:
        DataError: no rows, lengths that differ, values out of range, or bins < 1.
    """
    claimed, right = _calibration_columns(confidence, correct)
    if bins < 1:
        raise DataError(f"`bins` is {bins}.", "Pass at least 1; 10 is usual.")
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, claimed, side="left") - 1, 0, bins - 1)  # (low, high], and 0 in the first
    parts = []
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        # fsum is exact, so that the order of the rows does not show.
        mean = math.fsum(claimed[inside]) / count if count else None
        share = int(right[inside].sum()) / count if count else None
        parts.append(ReliabilityBin(float(edges[index]), float(edges[index + 1]), count, mean, share))
    return parts


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> float:
    """The mean distance, in [0, 1], between claimed confidence and share of right answers, over `reliability_bins`.

    sum over bins of count/rows * |accuracy - confidence|. 0 is calibrated. With few rows a bin it is biased upwards,
    and it depends on `bins`: compare only figures of the same rows and the same `bins`.

    Raises:
        DataError: as `reliability_bins`.
    """
    parts = [part for part in reliability_bins(confidence, correct, bins) if part.count]
    rows = sum(part.count for part in parts)
    gaps = (part.count * abs(part.accuracy - part.confidence) for part in parts)  # type: ignore[operator]
    return math.fsum(gaps) / rows


def brier(confidence: ArrayLike, correct: ArrayLike) -> float:
    """The mean squared distance, in [0, 1], between confidence and outcome; lower is better; always 0.5 gives 0.25.

    Args:
        confidence: [rows], probabilities in [0, 1].
        correct: [rows], booleans (or 0 and 1).

    Raises:
        DataError: no rows, lengths that differ, or values out of range.
    """
    claimed, right = _calibration_columns(confidence, correct)
    return math.fsum((claimed - right) ** 2) / len(claimed)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _check_lengths(**columns: Any) -> None:
    (first, a), (second, b) = columns.items()
    if len(a) != len(b):
        raise DataError(
            f"`{first}` has {len(a)} rows and `{second}` has {len(b)}.", "Pass one value a row in both, in one order."
        )
    if len(a) == 0:
        raise DataError("There are no rows to evaluate.", "Pass at least one row.")


def _calibration_columns(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both columns, checked: confidence [rows] in [0, 1], outcome [rows] of 0.0 and 1.0."""
    claimed = _numbers("confidence", confidence)
    right = _numbers("correct", correct)
    _check_lengths(confidence=claimed, correct=right)
    bad = np.flatnonzero(~((claimed >= 0) & (claimed <= 1)))  # NaN is neither
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"`confidence` is {claimed[row]} in row {row}.",
            "Pass probabilities between 0 and 1 (not percent, not log-probabilities).",
            row=row,
            column="confidence",
        )
    bad = np.flatnonzero((right != 0) & (right != 1))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"`correct` is {right[row]} in row {row}.", "Pass True or False for each row.", row=row, column="correct"
        )
    return claimed, right


def _numbers(name: str, column: ArrayLike) -> NDArray[np.float64]:
    remedy = "Pass one number a row."
    try:
        numbers = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"`{name}` is not a list of numbers: {error}.", remedy, column=name) from error
    if numbers.ndim != 1:
        raise DataError(f"`{name}` has {numbers.ndim} dimensions.", remedy, column=name)
    return numbers
