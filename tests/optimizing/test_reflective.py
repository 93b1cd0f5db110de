"""GEPA: parents from the front, children that mend failures, and only those join."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_programs import ROWS, model, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import optimize
from thalweg.optimizing.optimizers.reflective import GEPA, _wins
from thalweg.program.budget import Budget
from thalweg.program.score import Score


def searched(program: Any, strategy: Any, store: Path, metric: Any = None, **said: Any) -> Any:
    with tw.using(model=model(), store=store, cache=False):
        given = {} if metric is None else {"metric": metric}
        return optimize(program, train=ROWS[:18], dev=ROWS[18:], strategy=strategy, **given, **said)


def explained(example: Any, output: Any) -> Score:
    right = output == example.label
    return Score(float(right), "" if right else "be exact")


def test_rules_made_of_failures_are_accepted_where_they_help(tmp_path):
    study = searched(parity, GEPA(steps=12, minibatch=8), tmp_path)
    assert study.best_trial.score > study.trials[0].score
    assert "If it has" in study.best.parameters.instruction
    assert all(one.parent is not None for one in study.trials[1:])


def test_feedback_reaches_the_reflector_and_the_model_that_writes(tmp_path):
    shown: list[str] = []

    def write(prompt: str) -> str:
        shown.append(prompt)
        return "Be exact." if "be exact" in prompt else "Guess."

    study = searched(parity, GEPA(steps=10, minibatch=8, reflect=write), tmp_path, explained)
    assert shown and all("be exact" in one for one in shown)
    assert study.best.parameters.instruction == "Be exact."


def test_functions_of_a_flow_are_rewritten_in_turn(tmp_path):
    paths: list[str] = []

    class Noting:
        name = "Noting"

        def __repr__(self) -> str:
            return "Noting"

        def reflect(self, search: Any, path: str, instruction: str, failing: Any, turn: int) -> list[str]:
            paths.append(path)
            assert all(one.inputs is not None and one.feedback for one in failing)
            return ["Be exact."]

    study = searched(two_steps, GEPA(steps=6, minibatch=8, reflect=Noting(), merges=1), tmp_path, explained)
    assert {"two_steps.topic", "two_steps.verdict"} == set(paths)
    assert study.best.state()["two_steps.verdict/instruction"] == "Be exact."
    assert study.best.state()["two_steps.topic/instruction"] == "Say the topic of the text."  # it gained nothing


def test_the_front_is_of_those_that_are_best_on_some_example():
    class Pooled:
        def __init__(self, number: int, scores: list[float]) -> None:
            self.number, self.evaluation, self.score = number, self, sum(scores)
            self.scores = scores

    good, other, needless = Pooled(0, [1, 1, 0]), Pooled(1, [0, 0, 1]), Pooled(2, [1, 0, 0])
    assert _wins([good, other, needless]) == {0: 2, 1: 1}  # type: ignore[list-item]
    assert set(_wins([good, Pooled(3, [1, 1, 0])])) == {0} or set(_wins([good, Pooled(3, [1, 1, 0])])) == {3}  # type: ignore[list-item]


def test_a_budget_is_never_passed(tmp_path):
    study = searched(parity, GEPA(steps=50), tmp_path, budget=Budget(evaluations=60))
    assert study.spent.evaluations <= 60 and study.stop_reason in ("evaluations", "finished")


@pytest.mark.parametrize("said", [{"steps": 0}, {"minibatch": 0}, {"merges": -1}])
def test_options_that_make_no_search_are_refused(said):
    with pytest.raises(SearchError, match="makes no search"):
        GEPA(**said)
