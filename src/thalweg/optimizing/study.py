"""`Study`: what a search found, with what it cost and what it gained on examples that it never saw.

`best` is the program to use, `trials` everything that was tried, `held_out` the comparison with the program as it was
on the test split. A study is data: `save` writes readable JSON (never code), `load` gives the best program back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.comparison import Comparison, Estimate, estimate
from thalweg.optimizing.search import Trial, bound
from thalweg.program.budget import Spent
from thalweg.program.spaces import Genome, Space

VERSION = 1


@dataclass(frozen=True)
class Study:
    """The result of `optimize`.

    Args:
        id: of the study in the store. program: as it was. trials: by number; 0 is the program as it was.
        curve: (number, score on dev, score on train) of each trial that was the best when it came; nan: not known.
        held_out: before and after on the test split; None without one.
        spent: what the search used (not the final test). stop_reason: ``finished``, or the limit that was reached.
        saved: evaluations that were free because their candidate behaves like an earlier one.
    """

    id: str
    program: Any
    space: Space
    optimizer: str
    trials: tuple[Trial, ...]
    curve: tuple[tuple[int, float, float], ...]
    held_out: Comparison | None
    spent: Spent
    stop_reason: str
    sizes: tuple[int, int, int]
    resumed: bool = False
    saved: int = 0
    warnings: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def best_trial(self) -> Trial:
        return max(self.trials, key=lambda trial: (trial.score, -trial.number))

    @property
    def best_genome(self) -> Genome:
        return self.best_trial.genome

    @property
    def best(self) -> Any:
        """The best program found: a copy of the one given."""
        return bound(self.program, self.best_genome)

    @property
    def baseline(self) -> Trial:
        return self.trials[0]

    @property
    def pareto(self) -> list[Trial]:
        """Trials that none beats in both score and tokens an example, cheapest first."""
        kept: list[Trial] = []
        for one in sorted(self.trials, key=lambda trial: (trial.evaluation.tokens, -trial.score, trial.number)):
            if not kept or one.score > kept[-1].score:
                kept.append(one)
        return kept

    def on_dev(self) -> Estimate:
        """The best trial's score on dev with its interval; it was chosen by this score, so it flatters."""
        return estimate(self.best_trial.evaluation.scores)

    def report(self) -> str:
        """The study for people, as text."""
        from thalweg.optimizing.study_report import text

        return text(self)

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report with its plots as one page."""
        from thalweg.optimizing.study_report import html

        return html(self, path)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw the search: scores on train and dev of the best so far, all trials, the held-out score."""
        from thalweg.optimizing.study_report import plot

        return plot(self, path)

    def to_json(self) -> dict[str, Any]:
        best = self.best_trial
        return {
            "thalweg-study": VERSION, "id": self.id, "program": self.space.name, "optimizer": self.optimizer,
            "genome": best.genome.to_json(), "state": best.genome.state, "stop_reason": self.stop_reason,
            "spent": self.spent.to_json(), "sizes": list(self.sizes), "saved": self.saved,
            "held_out": self.held_out.to_json() if self.held_out else None, "curve": [list(one) for one in self.curve],
            "warnings": list(self.warnings), "best": best.number,
            "trials": [
                {
                    "number": one.number, "score": one.score, "by": one.by, "parent": one.parent, "note": one.note,
                    "same_as": one.same_as, "failed": one.evaluation.failed, "tokens": one.evaluation.tokens,
                    "error": one.evaluation.error, "genome": one.genome.to_json()["choices"],
                    "evaluations": one.spent.evaluations,
                }
                for one in self.trials
            ],
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the study as readable JSON, atomically."""
        target = Path(path)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        text = json.dumps(_finite(self.to_json()), indent=2, ensure_ascii=False) + "\n"
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, target)
        except OSError as error:
            raise SearchError(f"{target} cannot be written ({error.strerror}).", "Choose a writable path.") from error
        return target

    def __str__(self) -> str:
        return self.report()


def load_best(program: Any, path: str | os.PathLike[str]) -> Any:
    """The best program of a saved study. Raises `SearchError` for another file, `SpaceError` where the program's
    choices have changed."""
    from thalweg.program.spaces import space

    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        genome = data["genome"]
        if data["thalweg-study"] != VERSION:
            raise ValueError(f"version {data['thalweg-study']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SearchError(f"{path} is no saved study ({error}).", "Give a file made by `Study.save`.") from error
    return bound(program, Genome.from_json(genome, space(program)))


def _finite(value: Any) -> Any:
    """JSON has no form for nan."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
