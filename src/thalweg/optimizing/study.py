"""`Study`: what a search found, with what it cost and what it gained on examples that it never saw.

`best` is the program to use, `trials` everything that was tried, `held_out` the comparison with the program as it was
on the test split. A study is data: `save` writes readable JSON (never code), `Study.load` reads it. One that is over
lies in the store too ("studies/ID.json").
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thalweg.errors import SearchError
from thalweg.optimizing.comparison import Comparison, Estimate, estimate
from thalweg.optimizing.scoring import bound
from thalweg.optimizing.study_journal import Row
from thalweg.optimizing.trial import Evaluation, Trial
from thalweg.program.budget import Spent
from thalweg.program.saved_choices import objects_json, with_settings
from thalweg.program.session import current, store_in_force
from thalweg.program.spaces import Genome, Space
from thalweg.program.spaces import space as space_of
from thalweg.program.store import Store

VERSION = 1


@dataclass(frozen=True)
class Study:
    """The result of `optimize`.

    Args:
        id: of the study in the store. program: as it was. trials: by number; 0 is the program as it was.
        curve: (number, score on dev, score on train) of each trial that was the best when it came; nan: not known.
            The score on train is that of at most as many examples as dev has.
        held_out: before and after on the test split; None without one.
        spent: what the search used (not the final test). stop_reason: ``finished``, the limit that was reached, or
            ``idle``: nothing new was tried for so long that no limit would have ended it.
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
            "genome": best.genome.to_json(), "state": best.genome.state, "objects": objects_json(best.genome),
            "stop_reason": self.stop_reason,
            "spent": self.spent.to_json(), "sizes": list(self.sizes), "saved": self.saved, "resumed": self.resumed,
            "held_out": self.held_out.to_json() if self.held_out else None, "curve": [list(one) for one in self.curve],
            "warnings": list(self.warnings), "best": best.number,
            "trials": [
                {
                    "number": one.number, "score": one.score, "by": one.by, "parent": one.parent, "note": one.note,
                    "same_as": one.same_as, "failed": one.evaluation.failed, "tokens": one.evaluation.tokens,
                    "error": one.evaluation.error, "genome": one.genome.to_json()["choices"],
                    "objects": objects_json(one.genome),
                    "spent": one.spent.to_json(),
                    "rows": [[row.score, row.calls, row.tokens, row.error] for row in one.evaluation.rows],
                }
                for one in self.trials
            ],
        }  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the study as readable JSON, atomically."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        text = json.dumps(_finite(self.to_json()), indent=2, ensure_ascii=False) + "\n"
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, target)
        except OSError as error:
            raise SearchError(f"{target} cannot be written ({error.strerror}).", "Choose a writable path.") from error
        return target

    @classmethod
    def load(cls, program: Any, source: str | os.PathLike[str], *, space: Space | None = None) -> Study:
        """A study that is over, from a file made by `save` or by its id in the store in force.

        What came of single rows is known by score, cost and error; outputs and feedback are in the store's journal.

        Args:
            program: as it was. space: that was searched, where it was not the program's own.

        Raises:
            SearchError: no such study, or it is not over. SpaceError: the program's choices have changed.
        """
        return from_json(program, _read(source), space or space_of(program))

    def __str__(self) -> str:
        return self.report()


def place_of(store: Store, id: str) -> Path:
    """Where a study that is over lies in a store."""
    return store.folder / "studies" / f"{quote(id, safe='')}.json"


def from_json(program: Any, data: Any, space: Space) -> Study:
    """What `Study.to_json` wrote. Raises `SearchError`, and `SpaceError` for other choices."""
    try:
        if data["thalweg-study"] != VERSION:
            raise ValueError(f"version {data['thalweg-study']}")
        trials = tuple(
            Trial(
                one["number"],
                Evaluation(
                    genome_from(one["genome"], one["objects"], space), (),
                    tuple(_row(row) for row in one["rows"]), one["error"],
                ),
                one["by"], one["parent"], one["note"], one["same_as"], Spent.from_json(one["spent"]),
            )
            for one in data["trials"]
        )  # fmt: skip
        held_out = None
        if data["held_out"] is not None:
            parts: dict[str, Any] = {
                name: Estimate(**part) if isinstance(part, dict) and "mean" in part else part
                for name, part in data["held_out"].items()
            }
            held_out = Comparison(**parts)
        train, dev, test = data["sizes"]
        return Study(
            data["id"], program, space, data["optimizer"], trials,
            tuple((number, _number(dev), _number(train)) for number, dev, train in data["curve"]), held_out,
            Spent.from_json(data["spent"]), data["stop_reason"], (train, dev, test), data["resumed"], data["saved"],
            tuple(data["warnings"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SearchError(f"This is no saved study ({error!r}).", "Give a file made by `Study.save`.") from error


def _read(source: str | os.PathLike[str]) -> Any:
    path = Path(source)
    if not path.exists():
        store = store_in_force(current())
        path = place_of(store, os.fspath(source))
        if not path.exists():
            known = store.identity(os.fspath(source)) is not None
            raise SearchError(
                f"The study {os.fspath(source)!r} is not over." if known else f"There is no study {source!s}.",
                "Give the call of `optimize` again; it goes on where it was." if known else "Give a file or an id.",
            )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SearchError(f"{path} is no saved study ({error}).", "Give a file made by `Study.save`.") from error


def _row(packed: Sequence[Any]) -> Row:
    score, calls, tokens, error = packed
    return Row(_number(score), error=error, calls=calls, tokens=tokens)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def genome_from(choices: Any, objects: Any, space: Space) -> Genome:
    """A genome from a study's JSON; settings that the search opened are opened again."""
    return Genome.from_json({"choices": choices}, with_settings(space, choices, objects))


def load_best(program: Any, path: str | os.PathLike[str], *, space: Space | None = None) -> Any:
    """The best program of a saved study (a file or an id), without the rest.

    Args:
        space: that was searched, where its options are objects other than strategies.

    Raises:
        SearchError: another file. SpaceError: the program's choices have changed.
    """
    data = _read(path)
    try:
        choices, objects = data["genome"]["choices"], data["objects"]
        if data["thalweg-study"] != VERSION:
            raise ValueError(f"version {data['thalweg-study']}")
    except (ValueError, KeyError, TypeError) as error:
        raise SearchError(f"{path} is no saved study ({error}).", "Give a file made by `Study.save`.") from error
    return bound(program, genome_from(choices, objects, space or space_of(program)))


def _finite(value: Any) -> Any:
    """JSON has no form for nan."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
