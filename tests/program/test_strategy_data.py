"""A strategy comes back from its data equal; a file makes nothing else be called; studies load by themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import StateMismatch
from thalweg.models import ScriptedModel
from thalweg.optimizing import Study, load_best, optimize
from thalweg.optimizing.algorithms.grid import Grid
from thalweg.optimizing.optimizers.searching import Searching
from thalweg.program.choice_kinds import Choice
from thalweg.program.spaces import space
from thalweg.program.strategy import Demonstration
from thalweg.program.strategy_data import strategy_from_json, strategy_to_json
from thalweg.prompting.calibrated import Calibrated
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.knn_few_shot import KNNFewShot
from thalweg.prompting.self_consistency import SelfConsistency

NESTED = [
    ChainOfThought(),
    SelfConsistency(3, 0.5, ChainOfThought(max_tokens=20)),
    Calibrated([('"a"', 0.25)], 1.5, inner=KNNFewShot(2, [({"text": "x"}, "a")])),
]


@dataclass(frozen=True)
class Mine:
    """A strategy of the user's own."""

    lists: tuple[Any, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    name: str = "mine"

    def solve(self, ask: Any, inputs: Any) -> Any:
        return ask(**inputs)


@tw.learned
def kind(text: str) -> Literal["a", "b"]:
    """Which?"""


class Colour(Enum):
    RED = 1


MINE = [Mine((Colour.RED, Demonstration({"c": Colour.RED}, [1]))), Mine((1, (2.5, None)), {"k": ("v", True)})]


@pytest.mark.parametrize("strategy", [*NESTED, *MINE, None], ids=repr)
def test_a_strategy_comes_back_equal(strategy: Any) -> None:
    data = json.loads(json.dumps(strategy_to_json(strategy)))
    assert strategy_from_json(data) == strategy


def test_what_has_no_form_is_named() -> None:
    with pytest.raises(StateMismatch, match=r"Mine\.extra\['call'\]"):
        strategy_to_json(Mine(extra={"call": print}))


@pytest.mark.parametrize(
    "data",
    [
        {"class": "os:system"}, {"class": "subprocess:Popen", "fields": {"args": ["true"]}}, {"class": "antigravity:x"},
        {"class": "thalweg.errors:Error"}, {"class": "thalweg.program.session:Session"}, "text", 3, {"class": ""},
        {"class": "thalweg.prompting.chain_of_thought:ChainOfThought", "fields": {"nonsense": 1}},
    ],
)  # fmt: skip
def test_a_file_makes_nothing_but_strategies(data: Any) -> None:
    with pytest.raises(StateMismatch):
        strategy_from_json(data)


def test_a_study_over_strategies_and_its_program_load_without_the_space(tmp_path: Path) -> None:
    def answer(request: Any) -> str:
        return "a" if "Think" in str(request.messages) or "reason" in str(request.messages).lower() else "b"

    rows = [{"text": f"{number}", "label": "a"} for number in range(8)]
    opened = space(kind).opened("kind/strategy", Choice((SelfConsistency(3), ChainOfThought())))
    with tw.using(model=ScriptedModel(answer), store=tmp_path / "store", progress=False):
        study = optimize(kind, rows, strategy=Searching(Grid(), only=("kind/strategy",)), space=opened)
        assert study.best.own.strategy == ChainOfThought()
        place = study.save(tmp_path / "study.json")
        loaded = Study.load(kind, place)
        assert loaded.best.own.strategy == ChainOfThought()
        assert [one.score for one in loaded.trials] == [one.score for one in study.trials]
        assert load_best(kind, place)("x") == "a"
        study.best.save(tmp_path / "best.json")
        assert kind.load(tmp_path / "best.json").own.strategy == ChainOfThought()
