"""An evaluation in one value: accuracy with its interval, each label's scores, the usual mistakes, calibration.

`evaluation_report` computes it, `.text()` writes it for people and `.to_json()` gives it to programs. Choose it
whenever a table with right answers has been run. Cost: one pass over the rows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.eval.metrics import (
    ClassScore,
    brier,
    confusion,
    expected_calibration_error,
    labels_of,
    matches,
    per_class,
)
from thalweg.program.intervals import wilson_interval


@dataclass(frozen=True)
class Mistake:
    """`expected` was answered with `got` in `count` rows."""

    expected: Hashable
    got: Hashable
    count: int


@dataclass(frozen=True)
class Calibration:
    """How far to trust the confidence: all are in [0, 1]; `ece` and `brier` are best at 0."""

    mean_confidence: float
    ece: float
    brier: float


@dataclass(frozen=True)
class Report:
    """What `evaluation_report` found.

    `accuracy` is right / n and `interval` its 95 % Wilson interval; `classes` has one row a label and `mistakes` one a
    pair of labels that were mixed up, most frequent first; `calibration` is None where no confidence was given.
    """

    n: int
    right: int
    accuracy: float
    interval: tuple[float, float]
    classes: tuple[ClassScore, ...]
    mistakes: tuple[Mistake, ...]
    calibration: Calibration | None = None

    def text(self, mistakes: int = 5) -> str:
        """A plain table, aligned, without a trailing newline; at most so many `mistakes` are listed."""
        low, high = self.interval
        lines = [f"accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}]  ({self.right} of {self.n} right)", ""]
        head = ["label", "precision", "recall", "f1", "support"]
        body = [
            [_shown(row.label), f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.support)]
            for row in self.classes
        ]
        lines += _aligned([head, *body])
        if self.mistakes and mistakes > 0:
            lines.append("")
            listed = self.mistakes[:mistakes]
            lines += _aligned(
                [["expected", "got", "rows"], *([_shown(m.expected), _shown(m.got), str(m.count)] for m in listed)],
                left=2,
            )
            if len(self.mistakes) > mistakes:
                rest = self.mistakes[mistakes:]
                lines.append(f"and {len(rest)} more pairs ({sum(m.count for m in rest)} rows)")
        if self.calibration is not None:
            c = self.calibration
            lines += ["", f"confidence {c.mean_confidence:.3f} on average, ECE {c.ece:.3f}, Brier {c.brier:.3f}"]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as data that `json.dumps` takes. Labels that JSON has no form for become their text."""
        c = self.calibration
        return {
            "n": self.n,
            "right": self.right,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "classes": [
                {
                    "label": _plain(row.label),
                    "precision": row.precision,
                    "recall": row.recall,
                    "f1": row.f1,
                    "support": row.support,
                }
                for row in self.classes
            ],
            "mistakes": [
                {"expected": _plain(m.expected), "got": _plain(m.got), "count": m.count} for m in self.mistakes
            ],
            "calibration": c and {"mean_confidence": c.mean_confidence, "ece": c.ece, "brier": c.brier},
        }


def evaluation_report(
    expected: Sequence[Hashable], got: Sequence[Hashable], confidence: ArrayLike | None = None
) -> Report:
    """Compare the right answers with the given ones.

    Args:
        expected: [rows], the right labels.
        got: [rows], the given ones; None where a row failed.
        confidence: [rows], the probability in [0, 1] claimed for each given answer, where there is one.

    Raises:
        DataError: no rows, lengths that differ, labels that cannot be hashed, or confidence out of range.
    """
    correct = matches(expected, got)
    labels = labels_of(expected, got)
    counts = confusion(expected, got, labels)  # [labels, labels]
    mixed = [Mistake(labels[i], labels[j], int(counts[i, j])) for i, j in zip(*counts.nonzero(), strict=True) if i != j]
    n, right = len(correct), int(correct.sum())
    calibration = None
    if confidence is not None:
        ece = expected_calibration_error(confidence, correct)
        claimed = np.asarray(confidence, np.float64)
        calibration = Calibration(math.fsum(claimed) / n, ece, brier(confidence, correct))
    return Report(
        n=n,
        right=right,
        accuracy=right / n,
        interval=wilson_interval(right, n),
        classes=tuple(per_class(expected, got)),
        mistakes=tuple(sorted(mixed, key=lambda mistake: -mistake.count)),
        calibration=calibration,
    )


def _aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as lines: the first `left` columns to the left, the others to the right, two spaces between."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]


def _shown(label: Hashable, limit: int = 40) -> str:
    """A label in one short line: strings as they are, all else as Python writes it."""
    text = label if isinstance(label, str) and label.isprintable() and label else repr(label)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _plain(label: Any) -> Any:
    # An enum that is also a string or number would pass for one; its name says more than its value.
    if label is None or type(label) in (str, bool, int):
        return label
    return str(label)
