"""MIPROv2: combinations are chosen by a surrogate, seen on minibatches, and only the best are evaluated whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_programs import ROWS, model, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import optimize
from thalweg.optimizing.optimizers.mipro import MIPROv2
from thalweg.optimizing.proposers import Listed
from thalweg.program.budget import Budget

PROPOSER = Listed(["Say it now.", "Be exact about it.", "Guess."])


def searched(program: Any, strategy: Any, store: Path, **said: Any) -> Any:
    with tw.using(model=model(), store=store, cache=False):
        return optimize(program, train=ROWS[:18], dev=ROWS[18:], strategy=strategy, **said)


def test_it_finds_demonstrations_and_the_instruction_that_help(tmp_path):
    study = searched(parity, MIPROv2(trials=16, minibatch=99, proposer=PROPOSER), tmp_path)
    assert study.best_trial.score > study.trials[0].score
    assert len(study.best.parameters.demonstrations) > 1


def test_minibatches_decide_what_is_evaluated_whole(tmp_path):
    strategy = MIPROv2(trials=10, minibatch=9, full_every=5, proposer=PROPOSER)
    study = searched(parity, strategy, tmp_path)
    assert 2 <= len(study.trials) <= 3  # the program as it was, and the best mean after 5 and after 10
    assert study.spent.evaluations <= 18 + 18 + 10 * 9 + 2 * 18


def test_every_function_of_a_flow_has_choices_of_its_own(tmp_path):
    proposer = Listed({"two_steps.verdict": ["Be exact about it."], "two_steps.topic": ["Say what it is about."]})
    study = searched(two_steps, MIPROv2(trials=14, minibatch=99, proposer=proposer), tmp_path)
    changed = {path for one in study.trials for path in one.genome.state}
    assert {path.rpartition("/")[0] for path in changed} == {"two_steps.topic", "two_steps.verdict"}
    assert {path.rpartition("/")[2] for path in changed} == {"instruction", "demonstrations"}
    assert study.best_trial.score > study.trials[0].score


def test_without_a_proposer_only_demonstrations_are_chosen(tmp_path):
    study = searched(parity, MIPROv2(trials=6, proposer=None), tmp_path)
    assert all(set(one.genome.state) <= {"parity/demonstrations"} for one in study.trials)


def test_a_budget_is_never_passed(tmp_path):
    study = searched(
        parity, MIPROv2(trials=50, minibatch=6, proposer=PROPOSER), tmp_path, budget=Budget(evaluations=80)
    )
    assert study.stop_reason == "evaluations" and 60 < study.spent.evaluations <= 80


@pytest.mark.parametrize("said", [{"trials": 0}, {"minibatch": -1}, {"labeled": -2}])
def test_options_that_make_no_search_are_refused(said):
    with pytest.raises(SearchError, match="makes no search"):
        MIPROv2(**said)
