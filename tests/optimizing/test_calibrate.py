"""Calibrate: weights fitted to examples that are not shown, kept with the program; refused where it cannot be."""

from __future__ import annotations

import pytest
from scripted_programs import ROWS, model, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.models import Answer, ScriptedModel
from thalweg.optimizing import Study, load_best, optimize
from thalweg.optimizing.optimizers.calibrate import Calibrate
from thalweg.prompting.calibrated import Calibrated


class Leaning(ScriptedModel):
    """Always says "even", but says it less of odd numbers."""

    def __init__(self) -> None:
        def script(request):
            odd = int(request.messages[-1].content.split()[-2]) % 2
            shares = (0.4, 0.6) if odd else (0.1, 0.9)  # odd, even
            return Answer("even", probabilities=shares) if request.want == "distribution" else "even"

        super().__init__(script, identity="leaning")
        self.capabilities = type(self.capabilities)(constraints="exact", logits="choices", streams=1)


def test_a_model_that_leans_to_one_label_is_set_right_and_stays_so_when_saved(tmp_path):
    with tw.using(model=Leaning(), store=tmp_path / "store", cache=False):
        study = optimize(parity, train=ROWS[:18], dev=ROWS[18:], strategy=Calibrate())
        assert study.trials[0].score < 0.7
        assert study.best_trial.score == 1
        assert isinstance(study.best.own.strategy, Calibrated)
        place = study.save(tmp_path / "study.json")
        assert load_best(parity, place)("number 77 x") == "odd"
        assert Study.load(parity, place).best("number 78 x") == "even"


def test_a_resumed_search_asks_nothing_again(tmp_path):
    with tw.using(model=Leaning(), store=tmp_path, cache=False):
        first = optimize(parity, train=ROWS[:18], dev=ROWS[18:], strategy=Calibrate())
        again = optimize(parity, train=ROWS[:18], dev=ROWS[18:], strategy=Calibrate())
    assert again.resumed
    assert [one.score for one in again.trials] == [one.score for one in first.trials]
    assert again.spent.calls == first.spent.calls


def test_programs_and_models_without_probabilities_are_refused(tmp_path):
    with tw.using(model=model(), store=tmp_path):
        for program in (parity, two_steps):
            with pytest.raises(SearchError, match="nothing to calibrate"):
                optimize(program, train=ROWS[:9], dev=ROWS[9:18], strategy=Calibrate())
