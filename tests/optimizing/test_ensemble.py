"""Ensemble: the best programs as one, by votes or by mean probabilities."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from scripted_programs import ROWS, model, number_in, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError, StateMismatch
from thalweg.models import Answer, ScriptedModel
from thalweg.optimizing import optimize
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.optimizers.ensemble import Ensemble, MajorityOfPrograms, Member, majority
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.proposers import Listed
from thalweg.optimizing.scoring import bound


def test_programs_that_err_differently_are_better_together(tmp_path):
    def script(request: Any) -> str:
        n, kind = number_in(request.messages[-1].content), "KLM".find(request.messages[0].content[0])
        right = n % 3 != kind if kind >= 0 else n % 2 == 0
        return ("odd" if n % 2 else "even") if right else ("even" if n % 2 else "odd")

    strategy = APE(Listed(["K one.", "L two.", "M three."]), screening=False) >> Ensemble(3)
    with tw.using(model=ScriptedModel(script, identity="klm"), store=tmp_path, cache=False):
        study = optimize(parity, train=ROWS[:9], dev=ROWS[9:], strategy=strategy)
        assert [round(one.score, 2) for one in study.trials[1:4]] == [0.67, 0.67, 0.67]
        assert study.trials[4].score == 1 and study.best_trial.note == "majority of trials 1, 2, 3"
        assert study.trials[4].evaluation.rows[0].calls == 3
        assert study.best("number 77 x") == "odd"


@pytest.mark.parametrize("program", [parity, two_steps], ids=["function", "flow"])
def test_an_ensemble_of_any_program_is_a_program(tmp_path, program):
    strategy = BootstrapFewShotWithRandomSearch(3) >> Ensemble(3)
    with tw.using(model=model(), store=tmp_path, cache=False):
        study = optimize(program, train=ROWS[:18], dev=ROWS[18:], strategy=strategy)
        last = study.trials[-1]
        assert last.by == "Ensemble"
        assert [row.error for row in last.evaluation.rows if row.error] == []
        members = sorted(study.trials[:-1], key=lambda one: (-one.score, one.number))[:3]
        outputs = [[row.output for row in one.evaluation.rows] for one in members]
        said = [majority(list(each))[0] for each in zip(*outputs, strict=True)]
        assert [row.output for row in last.evaluation.rows] == said


def test_finite_answers_are_joined_by_their_mean_probabilities(tmp_path):
    def script(request: Any) -> Any:
        share = 0.9 if "sure" in request.messages[0].content else 0.4
        shares = (share, 1 - share)
        if request.want == "distribution":
            return Answer(request.format.choices[0], probabilities=shares)
        return request.format.choices[0 if share > 0.5 else 1]

    class Open(ScriptedModel):
        def __init__(self) -> None:
            super().__init__(script, identity="open")
            self.capabilities = type(self.capabilities)(constraints="exact", logits="choices", streams=1)

    parts = [parity.with_instruction(text).parameters for text in ("I am sure.", "Hm.", "Well.")]
    with tw.using(model=Open(), store=tmp_path, cache=False):
        joined = parity.using(strategy=MajorityOfPrograms((), tuple(Member(one) for one in parts)))
        assert joined.distribution("x") == pytest.approx({"odd": 1.7 / 3, "even": 1.3 / 3})
        assert joined("x") == "odd"  # the votes alone say even


def test_a_saved_ensemble_of_a_function_is_one_again_and_one_of_flows_is_refused(tmp_path):
    strategy = APE(Listed(["K one.", "L two."]), screening=False) >> Ensemble(2)
    with tw.using(model=model(), store=tmp_path / "store", cache=False):
        study = optimize(parity, train=ROWS[:9], dev=ROWS[9:], strategy=strategy)
        joined = parity.bind(study.trials[-1].genome)
        joined.save(tmp_path / "best.json")
        assert parity.load(tmp_path / "best.json").own.strategy == joined.own.strategy
        joint = BootstrapFewShotWithRandomSearch(2) >> Ensemble(2)
        flows = optimize(two_steps, train=ROWS[:18], dev=ROWS[18:], strategy=joint)
        with pytest.raises(StateMismatch, match="more than the parameters"):
            bound(two_steps, flows.trials[-1].genome).save(tmp_path / "flows.json")


def test_votes_of_equal_number_go_to_the_first():
    assert majority(["a", "b", "b", "a"]) == ("a", 2)
    assert majority([{"x": [1]}, {"x": [2]}, {"x": [2]}]) == ({"x": [2]}, 2)
    kind: Literal["a"] = majority(["a"])[0]
    assert kind == "a"


def test_what_makes_no_ensemble_is_refused(tmp_path):
    with pytest.raises(SearchError, match="from 2"):
        Ensemble(1)
    with tw.using(model=model(), store=tmp_path), pytest.raises(SearchError, match="one program only"):
        optimize(parity, train=ROWS[:9], dev=ROWS[9:], strategy=Ensemble())
