"""kNN few-shot: every call shows the worked examples that are nearest to it."""

from __future__ import annotations

from typing import Any, Literal

import thalweg as tw
from thalweg.models.request import Request
from thalweg.models.scripted import ScriptedModel
from thalweg.prompting.demonstrations import RandomDemos
from thalweg.prompting.knn_few_shot import KNNFewShot
from thalweg.prompting.self_consistency import SelfConsistency

POOL = [
    ("Please give me my money back.", "refund"), ("I want to be paid back for my order.", "refund"),
    ("Will it snow on Sunday?", "weather"), ("Is it going to rain in the afternoon?", "weather"),
    ("Hello, how are you?", "greeting"), ("Good morning to you!", "greeting"),
]  # fmt: skip


@tw.learned
def intent(text: str) -> Literal["refund", "weather", "greeting"]:
    """What is it about?"""


def test_the_nearest_examples_are_shown_and_told(tmp_path: Any) -> None:
    asked: list[Request] = []

    def last_shown(request: Request) -> str:
        asked.append(request)
        return request.messages[-2].content  # the answer of the nearest

    function = intent.using(strategy=KNNFewShot(2, POOL))
    with tw.using(model=ScriptedModel(last_shown, identity="last"), store=tmp_path):
        texts = ["Can you refund my order?", "Does it rain tomorrow?", "Hi there, good evening!"]
        assert function.map(texts) == ["refund", "weather", "greeting"]
        value = function.submit(texts[1])
        assert value.result() == "weather" and set(value.details["demonstrations"]) == {2, 3}
        shown = intent.with_demonstrations(("Bye.", "greeting")).using(strategy=KNNFewShot(1, POOL))
        shown(texts[0])
    assert [one.content for one in asked[-1].messages[1:3]] == ["text: Bye.", "greeting"]
    assert len(asked[-1].messages) == 6


def test_in_a_flow_with_bound_parameters_the_chosen_examples_are_shown() -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return "refund"

    with tw.using(model=ScriptedModel(script, identity="bound"), strategy=KNNFewShot(2, POOL)):
        routing.bind({"routing.intent/instruction": "Say the topic."})("Does it rain tomorrow?")
    assert "Say the topic." in asked[0].messages[0].content and len(asked[0].messages) == 6


@tw.flow
def routing(text: str) -> str:
    return f"to {intent(text)}"


def test_another_selector_and_an_inner_strategy() -> None:
    strategy = KNNFewShot(pool=POOL, selector=RandomDemos(3, seed=4), inner=SelfConsistency(3))
    with tw.using(model=ScriptedModel(lambda request: request.messages[-2].content, identity="random")):
        value = intent.using(strategy=strategy).submit("Hello!")
        assert value.result() in ("refund", "weather", "greeting")
    assert len(value.details["demonstrations"]) == 3 and value.details["share"] == 1


def test_the_real_model_answers_with_near_examples(model: Any, tmp_path: Any) -> None:
    with tw.using(model=model, store=tmp_path):
        found = intent.using(strategy=KNNFewShot(2, POOL)).distribution("Does it rain tomorrow?")
    assert max(found, key=found.get) == "weather"
