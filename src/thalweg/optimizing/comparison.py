"""Two programs on the same examples: the difference of their scores with a paired bootstrap interval.

Choose it whenever one says that a program is better than another: both answer the same rows, so that easy and hard rows
cancel out. `compare` asks two programs and says which rows each has won; `compared` takes scores. Source: Efron &
Tibshirani 1993, "An Introduction to the Bootstrap" (percentile interval); Dixon & Mood 1946 (sign test; of right and
wrong answers it is the exact test of McNemar 1947). Cost: 10,000 resamples of n numbers, milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError, SearchError

if TYPE_CHECKING:
    from thalweg.optimizing.example import Example
    from thalweg.optimizing.study_journal import Row

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
    def p(self) -> float:
        """Chance of so unequal a count of won and lost examples if either were as likely (sign test, two-sided)."""
        n, most = self.won + self.lost, max(self.won, self.lost)
        return min(1.0, 2 * sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n)

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


@dataclass(frozen=True)
class Paired:
    """What two programs answered to the same examples; made by `compare`.

    Args:
        names: what to call them. rows: of each program, in the order of the examples.
    """

    names: tuple[str, str]
    metric: str
    examples: tuple[Example, ...]
    rows: tuple[tuple[Row, ...], tuple[Row, ...]]
    comparison: Comparison

    @property
    def won(self) -> list[int]:
        """Examples on which the second program scored higher."""
        return [index for index, (a, b) in enumerate(zip(*self.rows, strict=True)) if b.score > a.score]

    @property
    def lost(self) -> list[int]:
        """Examples on which the first program scored higher."""
        return [index for index, (a, b) in enumerate(zip(*self.rows, strict=True)) if b.score < a.score]

    def text(self, *, most: int = 5) -> str:
        """For people: the scores, the test, what each costs, and at most `most` rows won and lost."""
        found = self.comparison
        lines = [f"{self.metric} on {len(self.examples)} examples"]
        width = max(map(len, self.names))
        for name, score, rows in zip(self.names, (found.before, found.after), self.rows, strict=True):
            failed = sum(bool(row.error) for row in rows)
            tokens = sum(row.tokens for row in rows) / len(rows)
            note = f", {failed} failed" if failed else ""
            lines.append(f"  {name:<{width}}  {score}  {tokens:.0f} tokens an example{note}")
        difference = found.difference
        lines.append(
            f"  difference {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}] (95 %, paired "
            f"bootstrap); {found.won} won, {found.lost} lost, sign test p = {found.p:.2g}"
        )
        verdict = f"{self.names[difference.mean > 0]} is better" if found.significant else "no more than chance"
        lines.append(f"  {verdict}")
        for title, indices in (("won", self.won), ("lost", self.lost)):
            for index in indices[:most]:
                before, after = (rows[index] for rows in self.rows)
                lines.append(f"  {title:<5} row {self.examples[index].number}: {_answer(before)} -> {_answer(after)}")
            if len(indices) > most:
                lines.append(f"  {title:<5} and {len(indices) - most} more rows")
        return "\n".join(lines)

    __str__ = text

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write one page with every row won and lost."""
        from thalweg.optimizing.comparison_page import page_of

        return page_of(self, path)

    def to_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names), "metric": self.metric, **self.comparison.to_json(), "p": self.comparison.p,
            "significant": self.comparison.significant,
            "rows": [
                {
                    "row": one.number, "label": _plain(one.label), "scores": [before.score, after.score],
                    "outputs": [before.output, after.output], "errors": [before.error, after.error],
                }
                for one, before, after in zip(self.examples, *self.rows, strict=True)
            ],
        }  # fmt: skip


def compare(
    before: Any, after: Any, examples: Any, metric: Any = "exact", *, label: str | None = None,
    names: tuple[str, str] = ("before", "after"), failure_score: float = 0.0,
) -> Paired:  # fmt: skip
    """Ask two programs for the same examples and say which one is better.

    Args:
        before, after: programs of the same inputs. examples: anything that `examples_of` takes.
        metric: as for `optimize`, or its name. label: column of the right answer. names: for the report.
        failure_score: of a row on which a program or the metric fails.

    Raises:
        DataError: no examples. SearchError: one of the programs fails on every one.
    """
    from thalweg.optimizing.example import read_examples
    from thalweg.optimizing.metric import name_of
    from thalweg.optimizing.ready_metrics import metric_of

    metric = metric_of(metric)
    found = tuple(read_examples(examples, label=label, program=before).examples)
    rows = tuple(rows_of(one, found, metric, failure_score=failure_score) for one in (before, after))
    for name, each in zip(names, rows, strict=True):
        if all(row.error for row in each):
            raise SearchError(
                f"{name} fails on every one of {len(each)} examples; first: {each[0].error}.",
                "Try it on one example by hand, and the metric on its output.",
            )
    scores = [[row.score for row in each] for each in rows]
    return Paired(names, name_of(metric), found, (rows[0], rows[1]), compared(*scores))


def rows_of(program: Any, examples: Sequence[Example], metric: Any, *, failure_score: float = 0.0) -> tuple[Row, ...]:
    """One program on some examples, rows side by side; what fails is a failed row. The calls are in the journal."""
    from thalweg.optimizing.scoring import Scoring
    from thalweg.optimizing.study_journal import StudyJournal
    from thalweg.program import Learned
    from thalweg.program.session import current, store_in_force
    from thalweg.program.spaces import space

    run = f"compare-{uuid.uuid4().hex[:12]}"
    journal = StudyJournal(store_in_force(program.own.over(current())), run, program.name, run, {})
    functions = {program.name: program} if isinstance(program, Learned) else program.learned()
    paths: dict[str, str] = {}
    for path, one in functions.items():
        paths.setdefault(one.name, path)
    digest = hashlib.blake2b(json.dumps(program.state(), default=repr).encode(), digest_size=12).hexdigest()
    status = "stopped"
    try:
        scoring = Scoring(program, space(program), metric, journal, failure_score, paths, lambda: None)
        distinct = {one.digest: one for one in examples}
        scoring.score(program, digest, list(distinct.values()))
        status = "done"
        rows = [journal.row(digest, one.digest) for one in examples]
        return tuple(row for row in rows if row is not None)
    finally:
        journal.close(status)


def _answer(row: Row) -> str:
    text = row.error or json.dumps(row.output, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    from thalweg.program.types import jsonable

    return jsonable(value)


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
