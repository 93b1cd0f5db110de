"""Every named optimizer: the same way again, on after a kill, within its budget, and known by what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from scripted_programs import ROWS, model, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import LabeledFewShot, Search, optimize
from thalweg.optimizing.named import NAMES, optimizer_of
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.optimizers.auto import Auto
from thalweg.optimizing.optimizers.bootstrap_few_shot import BootstrapFewShot
from thalweg.optimizing.optimizers.ensemble import Ensemble
from thalweg.optimizing.optimizers.knn_few_shot import KNNFewShot
from thalweg.optimizing.optimizers.mipro import MIPROv2
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.optimizers.reflective import GEPA
from thalweg.optimizing.proposers import Grounded
from thalweg.program.budget import Budget

TRAIN, DEV = ROWS[:12], ROWS[12:28]
EVERY = {
    "labeled": LabeledFewShot(k=3, draws=3, balanced=True),
    "bootstrap": BootstrapFewShot(demos=3, rounds=2),
    "random": BootstrapFewShotWithRandomSearch(3),
    "screening": BootstrapFewShotWithRandomSearch(6, screening=True),
    "ape": APE(Grounded(), 4),
    "mipro": MIPROv2(candidates=3, trials=6, minibatch=8, full_every=3),
    "gepa": GEPA(steps=8, reflect="rules", merges=1),
    "reflection": GEPA(steps=4, reflect="self"),
    "auto": Auto(),
    "pipeline": BootstrapFewShot(demos=2, rounds=2) >> APE(n=3, screening=False) >> Ensemble(3),
}
_FUNCTION_ONLY = {"knn": KNNFewShot(ks=(2,)) >> APE(n=2)}
CASES = [
    (name, program) for name in EVERY for program in (parity, two_steps) if (name, program) != ("labeled", two_steps)
]
CASES += [("knn", parity)]


class Killed(BaseException):
    """What a process meets; nothing may catch it."""


def found(program: Any, strategy: Any, store: Path, seen: list[Any], **said: Any) -> Any:
    with tw.using(model=model(seen), store=store, cache=False):
        return optimize(program, train=TRAIN, dev=DEV, strategy=strategy, **said)


def told(study: Any) -> Any:
    return (
        [(one.genome.to_json(), one.evaluation.scores, one.note, one.parent, one.by) for one in study.trials],
        study.spent.evaluations, study.spent.calls, study.stop_reason,
    )  # fmt: skip


@pytest.mark.parametrize("name, program", CASES, ids=[f"{name}-{one.name}" for name, one in CASES])
def test_a_killed_search_goes_on_to_what_an_undisturbed_one_finds(tmp_path, monkeypatch, name, program):
    strategy = {**EVERY, **_FUNCTION_ONLY}[name]
    evaluate, evaluations = Search.evaluate, 0

    def counting(self: Any, *args: Any, **said: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        return evaluate(self, *args, **said)

    undisturbed: list[Any] = []
    monkeypatch.setattr(Search, "evaluate", counting)
    whole = found(program, strategy, tmp_path / "whole", undisturbed)
    assert len(whole.trials) > 1
    asked: list[Any] = []
    for stop in (evaluations // 3, 2 * evaluations // 3):

        def dying(self: Any, *args: Any, _stop: int = stop, **said: Any) -> Any:
            self.evaluations = getattr(self, "evaluations", 0) + 1
            if self.evaluations > _stop:
                raise Killed
            return evaluate(self, *args, **said)

        monkeypatch.setattr(Search, "evaluate", dying)
        with pytest.raises(Killed):
            found(program, strategy, tmp_path / "killed", asked)
        monkeypatch.setattr(Search, "evaluate", evaluate)
    study = found(program, strategy, tmp_path / "killed", asked)
    assert study.resumed
    assert told(study) == told(whole)
    assert len(asked) == len(undisturbed)  # nothing was asked twice


@pytest.mark.parametrize("name", ["random", "mipro", "gepa", "auto"])
def test_equal_seeds_find_the_same_and_others_something_else(tmp_path, name):
    one, other = (found(parity, EVERY[name], tmp_path / place, []) for place in "ab")
    assert told(one) == told(other)
    if name in ("random", "mipro"):
        assert told(found(parity, EVERY[name], tmp_path / "c", [], seed=1)) != told(one)


@pytest.mark.parametrize("budget", [Budget(evaluations=100), Budget(calls=100), Budget(evaluations=300)], ids=repr)
@pytest.mark.parametrize("program", [parity, two_steps], ids=["function", "flow"])
def test_auto_fits_itself_into_its_budget(tmp_path, program, budget):
    study = found(program, Auto(), tmp_path, [], budget=budget)
    if budget.evaluations:
        assert study.spent.evaluations <= budget.evaluations
    assert study.best_trial.score >= study.trials[0].score
    if budget.evaluations == 300:
        assert study.stop_reason == "finished" and study.spent.evaluations > 120
        kinds = {path.rpartition("/")[2] for one in study.trials for path in one.genome.state}
        assert kinds == {"instruction", "demonstrations"}


def test_auto_looks_at_what_is_open_only(tmp_path):
    study = found(parity, Auto(), tmp_path, [], space=tw.space(parity).select("*/instruction"))
    assert all(set(one.genome.state) <= {"parity/instruction"} for one in study.trials)
    assert len(study.trials) > 1


def test_names_stand_for_optimizers_and_join():
    for name in NAMES:
        made = optimizer_of(name)
        assert made.name and hasattr(made, "run")
        assert " at 0x" not in repr(made)
    assert [one.name for one in optimizer_of("random >> ape>>ensemble").parts] == [
        "BootstrapFewShotWithRandomSearch", "APE", "Ensemble",
    ]  # fmt: skip
    with pytest.raises(SearchError, match="auto"):
        optimizer_of("best")
    with pytest.raises(SearchError, match="no optimizer"):
        optimizer_of(3)


def test_options_are_written_alike_in_every_process():
    def ask(prompt: str) -> str:
        return prompt

    for one in (Grounded(ask), Grounded(model()), BootstrapFewShot(teacher=parity), GEPA(reflect=ask)):
        assert " at 0x" not in repr(one)
        assert repr(one) == repr(type(one)(**{name: getattr(one, name) for name in one.__dataclass_fields__}))
    assert repr(BootstrapFewShot(teacher=parity)) != repr(BootstrapFewShot(teacher=parity.with_instruction("Other.")))


def test_a_real_model_gets_better_by_demonstrations(model, tmp_path):
    words = {"animal": "dog cow horse cat lion sheep", "plant": "oak rose tulip pine fern moss"}
    rows = [{"text": f"the {word}", "label": label} for label, each in words.items() for word in each.split()]
    with tw.using(model=model, store=tmp_path):
        study = optimize(kind, train=rows[::2], dev=rows[1::2], strategy=BootstrapFewShot(demos=2, labeled=4))
        assert study.best_trial.score > study.trials[0].score
        assert all(not one.evaluation.failed for one in study.trials)
        study.best.save(tmp_path / "kind.json")
        assert kind.load(tmp_path / "kind.json").render("the elm").tokens == study.best.render("the elm").tokens


@tw.learned
def kind(text: str) -> Literal["plant", "animal"]:
    """Kind?"""
    ...
