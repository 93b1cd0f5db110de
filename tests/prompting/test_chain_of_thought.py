"""Chain of thought: reasons first, then the typed answer given the reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import TypeNotSupported
from thalweg.models.request import Answer, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.program.strategy import Demonstration
from thalweg.prompting.chain_of_thought import ChainOfThought

asked: list[Request] = []


def script(request: Request) -> Answer | str:
    asked.append(request)
    if not request.format.choices:
        return "  it rains  "
    odds = (0.2, 0.8) if "reasoning: it rains" in request.messages[-1].content else (0.9, 0.1)
    best = max(range(2), key=odds.__getitem__)
    return Answer(request.format.choices[best], -0.2, probabilities=odds)


@tw.learned
def out(plan: str) -> Literal["go", "stay"]:
    """Go out or stay?"""


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Any:
    asked.clear()
    model = ScriptedModel(script, identity="rain")
    model.capabilities = replace(model.capabilities, logits="full")
    with tw.using(model=model, cache=False):
        yield


def test_the_answer_is_given_the_reasons_and_keeps_its_type() -> None:
    value = out.using(strategy=ChainOfThought(max_tokens=7)).submit("a walk")
    assert value.result() == "stay"
    assert value.details == {"reasoning": "it rains", "logprob": -0.2}
    reasons, answer = asked
    assert reasons.sampling.max_tokens == 7 and reasons.format.kind == "text"
    assert answer.sampling.max_tokens == 512 and answer.format.choices == ("go", "stay")
    assert answer.messages[-1].content == "plan: a walk\n\nreasoning: it rains"
    assert reasons.messages[-1].content == "plan: a walk"
    assert reasons.messages[0] == answer.messages[0]  # one beginning


def test_the_distribution_is_that_of_the_answer_given_the_reasons() -> None:
    assert out.using(strategy=ChainOfThought()).distribution("a walk") == {"go": 0.2, "stay": 0.8}
    assert out.distribution("a walk") == {"go": 0.9, "stay": 0.1}


def test_demonstrations_with_reasons_show_how_to_reason_others_show_answers() -> None:
    shown = out.with_demonstrations(
        Demonstration({"plan": "a swim", "reasoning": "water is wet"}, "go"), ("a fire", "stay")
    )
    shown.using(strategy=ChainOfThought())("a walk")
    assert [one.content for one in asked[0].messages[1:]] == ["plan: a swim", "water is wet", "plan: a walk"]
    assert [one.content for one in asked[1].messages[1:-1]] == [
        "plan: a swim\n\nreasoning: water is wet", "go", "plan: a fire", "stay",
    ]  # fmt: skip


def test_an_input_of_the_same_name_is_refused_with_the_remedy() -> None:
    @tw.learned
    def judge(reasoning: str) -> bool:
        """Is it sound?"""

    with pytest.raises(TypeNotSupported, match="another name"):
        judge.using(strategy=ChainOfThought())("so")
    with tw.using(model=ScriptedModel(lambda request: "yes" if not request.format.choices else "true")):
        assert judge.using(strategy=ChainOfThought(field="why"))("so") is True


def test_on_the_real_model_reasons_and_answer_share_the_prompt(model: Any, tmp_path: Any) -> None:
    with tw.using(model=model, store=tmp_path):
        value = out.using(strategy=ChainOfThought(max_tokens=12)).submit("a walk in the park with the whole family")
        assert value.result() in ("go", "stay") and value.details["reasoning"]
        from thalweg.program.session import current, store_in_force

        calls = {call.path.rpartition("/")[2]: call for call in store_in_force(current()).calls() if call.key}
    reasons, answer = (calls[name].prompt for name in ("reasoning#0", "out#0"))
    shared = next(n for n, (a, b) in enumerate(zip(reasons, answer, strict=False)) if a != b)
    assert shared > 0.85 * len(reasons)
