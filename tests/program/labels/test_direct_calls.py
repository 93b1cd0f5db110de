"""Learned functions called outside of flows with labels, and contracts under propagators."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import ContractViolation
from thalweg.models.request import Answer, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.program.contract import BECAUSE
from thalweg.program.labels import Conservative, Entry, Introspection, Knn, Label, Permissive, labelled

Colour = Literal["red", "blue", "green"]
seen: list[str] = []


def script(request: Request) -> Answer:
    text = request.messages[-1].content
    seen.append(text)
    chosen = 0 if "kite is red" in text else 1 if "sky" in text else 2
    if BECAUSE in text:  # a repair
        chosen = (chosen + 1) % 3
    odds = [0.05, 0.05, 0.05]
    odds[chosen] = 0.9
    choices = ("red", "blue", "green")
    if request.want == "score":
        return Answer(request.target, math.log(odds[choices.index(request.target)]))
    if request.format.choices and "red" not in request.format.choices:
        return Answer(request.format.choices[0])
    return Answer(choices[chosen], math.log(0.9), probabilities=tuple(odds))


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Any:
    seen.clear()
    model = ScriptedModel(script, identity="direct")
    model.capabilities = replace(model.capabilities, logits="full")
    with tw.using(model=model, cache=False):
        yield


@tw.learned
def colour(notes: list[str], question: str) -> Colour:
    """Which colour?"""


def not_red(notes: list[str], question: str, found: str) -> bool:
    """The colour is not red."""
    return found != "red"


def asks(notes: list[str], question: str) -> bool:
    """The question is one."""
    return question.endswith("?")


@tw.learned(ensure=not_red, require=asks, repair=2)
def kept(notes: list[str], question: str) -> Colour:
    """Which colour?"""


NOTES = ["the kite is red", "the sky is grey", "a dog"]
LABELS = [Label("hr"), Label("wiki"), Label("mail")]
INPUTS = {"notes": NOTES, "question": "What colour?"}
GIVEN = [labelled(note, label) for note, label in zip(NOTES, LABELS, strict=True)]


# -- outside of flows -------------------------------------------------------------------------------------------------


def test_the_session_s_propagator_makes_the_value_and_its_label() -> None:
    with tw.using(labels=Permissive()):
        value = colour.submit(GIVEN, "What colour?")
        assert (value.result(20), value.label) == ("red", Label("hr"))
        assert colour(GIVEN, "What colour?") == "red"
    assert colour.using(labels=Permissive()).submit(GIVEN, "What colour?").result(20) == "red"


def test_without_one_the_value_carries_the_join_of_what_was_read_and_the_model_sees_no_labels() -> None:
    value = colour.submit(GIVEN, labelled("What colour?", "user"))
    assert (value.result(20), value.label) == ("red", Label("hr", "wiki", "mail", "user"))
    assert len(seen) == 1 and "hr" not in seen[0] and "Labelled" not in seen[0]


def test_a_call_without_labels_is_the_plain_call() -> None:
    with tw.using(labels=Permissive()):
        value = colour.submit(NOTES, "What colour?")
        assert (value.result(20), value.label) == ("red", Label())
    assert len(seen) == 1


def test_in_a_flow_labels_are_as_they_were() -> None:
    @tw.flow
    def through(notes: list[str], question: str) -> str:
        return colour(notes, question)

    with tw.using(labels=Permissive()):
        found = through.labelled(GIVEN, "What colour?")
    assert (found.value, found.label) == ("red", Label("hr"))


# -- contracts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Conservative(), Permissive(), Introspection()], ids=lambda one: type(one).__name__)
def test_what_a_propagator_gives_keeps_the_contract(policy: Any) -> None:
    found = policy.propagate(kept, INPUTS, {"notes": LABELS})
    assert found.value == "blue"  # the repair of red
    assert found.label <= Label("hr", "wiki", "mail")


def test_a_repair_reads_nothing_above_the_label() -> None:
    found = Permissive().propagate(kept, INPUTS, {"notes": LABELS})
    assert found.label == Label("hr")
    repairs = [text for text in seen if BECAUSE in text]
    assert repairs and all("kite" in text and "sky" not in text and "dog" not in text for text in repairs)


@pytest.mark.parametrize("policy", [Conservative(), Permissive(), Introspection()], ids=lambda one: type(one).__name__)
def test_inputs_that_the_contract_refuses_are_asked_of_no_model(policy: Any) -> None:
    with pytest.raises(ContractViolation, match="inputs that break its contract"):
        policy.propagate(kept, {"notes": NOTES, "question": "Tell me"}, {"notes": LABELS})
    assert seen == []


class Same:
    """An embedder to which all texts are one."""

    name, dimensions = "same", 1

    def embed(self, texts: Any) -> Any:
        import numpy as np

        return np.ones((len(texts), 1), np.float32)


def test_neighbours_vote_among_the_values_that_the_contract_lets_pass() -> None:
    policy = Knn([Entry("k", "red", Label("hr")), Entry("s", "blue", Label("wiki"))], embedder=Same())
    assert policy.propagate(colour, INPUTS, {}).value == "red"
    assert policy.propagate(kept, INPUTS, {}).value == "blue"

    @tw.learned(ensure=lambda notes, question, found: False)
    def never(notes: list[str], question: str) -> Colour:
        """Which colour?"""

    with pytest.raises(ContractViolation, match="No value that `never` can give"):
        policy.propagate(never, INPUTS, {})
