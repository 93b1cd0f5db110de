"""Calibrate: fit, on labelled examples, how a classifying function's probabilities are turned into its answer.

Choose it last, after prompts were searched: it costs one `distribution` an example and often brings more than they did,
since worked examples shift what a small model says of every input. For one learned function of a finite type, whose
examples are labelled with its values. See `thalweg.prompting.Calibrated` for the method and its sources.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import SearchError
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.example import Example
from thalweg.optimizing.optimizers.chosen_strategy import with_strategy
from thalweg.optimizing.search import Search, Trial
from thalweg.program import Learned
from thalweg.program.session import current, model_in_force
from thalweg.program.types import jsonable

LEAST = 12  # examples to fit to


@dataclass(frozen=True)
class Calibrate(Composable):
    """Fit weights for the best trials.

    Args:
        top: how many of the best trials get weights: one that answers worse as it is may separate better.
    """

    top: int = 3
    name: str = "Calibrate"

    def run(self, search: Search) -> None:
        program = search.program
        if not calibratable(program):
            raise SearchError(
                f"`{search.space.name}` is no learned function of a finite type under a model that gives "
                "probabilities, so there is nothing to calibrate.",
                "Use it for classification with a local model; search prompts for other programs.",
            )
        ranked = sorted(search.trials, key=lambda trial: (-trial.score, trial.number))
        for trial in ranked[: self.top]:
            made = self._fitted(search, trial)
            if made is not None:
                search.try_(made, parent=trial, note=f"calibrated number {trial.number}")

    def _fitted(self, search: Search, trial: Trial) -> Any:
        from thalweg.prompting.calibrated import Calibrated, calibrated

        function = search.bound(trial.genome)
        inner = function.own.strategy
        if isinstance(inner, Calibrated):
            return None
        rows = unseen(search, trial, inner)
        with search.asking("distribution"):
            asked = [function.submit_distribution(**one.inputs(search.names)) for one in rows]
            tables = [one.result() for one in asked]
        made = calibrated(tables, [one.label for one in rows], inner)
        return with_strategy(trial.genome, search.program.name, made)


def calibratable(program: Any) -> bool:
    """Whether a program is one learned function of a finite type, asked of a model that gives probabilities."""
    if not isinstance(program, Learned) or program.signature.output.values() is None:
        return False
    return model_in_force(program.own.over(current())).capabilities.logits != "none"


def unseen(search: Search, trial: Trial, strategy: Any) -> Sequence[Example]:
    """Examples to fit to: those of train that the program does not show as worked examples; dev where these are few."""
    shown = {
        json.dumps(one["inputs"], sort_keys=True)
        for path, value in trial.genome.values.items()
        if path.endswith("/demonstrations")
        for one in value or ()
    }
    while strategy is not None:  # a pool to choose examples from may hold every example of train
        if getattr(strategy, "pool", ()):
            return search.dev
        strategy = getattr(strategy, "inner", None)
    left = [one for one in search.train if json.dumps(jsonable(one.inputs(search.names)), sort_keys=True) not in shown]
    return left if len(left) >= LEAST else search.dev
