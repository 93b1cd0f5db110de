"""Self-consistency: the majority of seeded draws; shares as the distribution."""

from __future__ import annotations

from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.models.request import Answer, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.self_consistency import SelfConsistency

asked: list[Request] = []


@tw.learned
def side(coin: str) -> Literal["heads", "tails"]:
    """Which side?"""


def drawing(*said: str, logprobs: tuple[float, ...] = ()) -> Any:
    def script(request: Request) -> Answer:
        number = len(asked)
        asked.append(request)
        return Answer(said[number % len(said)], logprobs[number % len(said)] if logprobs else float("nan"))

    return tw.using(model=ScriptedModel(script), cache=False)


@pytest.fixture(autouse=True)
def fresh() -> None:
    asked.clear()


def test_the_majority_wins_and_shares_are_the_distribution() -> None:
    function = side.using(strategy=SelfConsistency(3, temperature=0.4))
    with drawing("tails", "heads", "tails"):
        value = function.submit("a penny")
        assert value.result() == "tails"
        assert value.details == {"votes": {'"tails"': 2 / 3, '"heads"': 1 / 3}, "share": 2 / 3, "tied": 1}
    assert {one.sampling.temperature for one in asked} == {0.4} and len({one.sampling.seed for one in asked}) == 3
    with drawing("tails", "tails", "tails"):
        assert function.distribution("a penny") == {"heads": 0.0, "tails": 1.0}


def test_ties_go_to_the_likelier_answer_then_to_the_first_drawn() -> None:
    function = side.using(strategy=SelfConsistency(2))
    with drawing("tails", "heads", logprobs=(-1.0, -0.5)):
        assert function("a penny") == "heads"
    asked.clear()
    with drawing("tails", "heads"):
        assert function("a penny") == "tails"


def test_draws_of_a_call_with_another_seed_are_others() -> None:
    with drawing("tails"):
        side.using(strategy=SelfConsistency(2), seed=0)("a")
        side.using(strategy=SelfConsistency(2), seed=1)("a")
    assert len({one.sampling.seed for one in asked}) == 4


def test_settings_under_which_all_draws_are_equal_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        SelfConsistency(3, temperature=0)
    with pytest.raises(ValueError, match="n=0"):
        SelfConsistency(0)


def test_chains_of_thought_are_drawn_and_voted_on_the_real_model(model: Any, tmp_path: Any) -> None:
    with tw.using(model=model, store=tmp_path):
        function = side.using(strategy=SelfConsistency(3, inner=ChainOfThought(max_tokens=8)))
        first = function.submit("a penny on the table")
        assert first.result() in ("heads", "tails")
        assert function("a penny on the table") == first.result()  # equal seeds, equal draws
        found = function.distribution("a penny on the table")
    assert sum(found.values()) == pytest.approx(1) and max(found, key=found.get) == first.result()
