"""Two programs on the same examples: the difference of their scores with a paired bootstrap interval.

Choose it whenever one says that a program is better than another: both answer the same rows, so that easy and hard rows
cancel out. Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap" (percentile interval). Cost: 10,000
resamples of n numbers, milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from thalweg.errors import DataError

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean score with its 95 % interval over n examples."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """Scores of two programs on the same examples, and what is between them.

    Args:
        before, after: mean scores. difference: after - before, with its 95 % interval over examples.
        won, lost: examples on which `after` scored higher, and lower.
    """

    before: Estimate
    after: Estimate
    difference: Estimate
    won: int
    lost: int

    @property
    def significant(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.difference.low > 0 or self.difference.high < 0

    def __str__(self) -> str:
        said = "" if self.significant else " (not more than chance)"
        return (
            f"{self.before}  ->  {self.after}; difference {self.difference.mean:+.3f} "
            f"[{self.difference.low:+.3f}, {self.difference.high:+.3f}] on {self.before.n} examples, "
            f"{self.won} won, {self.lost} lost{said}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(scores: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean and 95 % bootstrap interval. Raises `DataError` for no scores."""
    import numpy as np

    if not len(scores):
        raise DataError("There are no scores.", "Give at least one.")
    values = np.asarray(scores, dtype=float)
    low, high = _interval(values, seed)
    return Estimate(float(values.mean()), low, high, len(values))


def compared(before: Sequence[float], after: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare the scores of two programs, in the order of the same examples. Raises `DataError`."""
    import numpy as np

    if len(before) != len(after):
        raise DataError(f"{len(before)} scores and {len(after)} are not of the same examples.", "Give pairs.")
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    return Comparison(
        estimate(before, seed=seed), estimate(after, seed=seed), estimate(differences.tolist(), seed=seed),
        int((differences > 0).sum()), int((differences < 0).sum()),
    )  # fmt: skip


def _interval(values: Any, seed: int) -> tuple[float, float]:
    import numpy as np

    draws = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    step = max(1, 2_000_000 // len(values))  # a resample needs n numbers; keep memory small
    for start in range(0, RESAMPLES, step):
        stop = min(RESAMPLES, start + step)
        means[start:stop] = values[draws.integers(0, len(values), (stop - start, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
