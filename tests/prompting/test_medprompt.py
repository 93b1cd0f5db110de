"""Medprompt: chains are kept only where right; near ones are shown; the vote does not depend on the options' order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import DataError, ModelError
from thalweg.models.request import Request
from thalweg.models.scripted import ScriptedModel
from thalweg.prompting.medprompt import REASONS, Medprompt

CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Norway": "Oslo"}
TRAIN = [
    ({"question": f"The capital of {land}?", "options": ["Madrid", "Rome", "Oslo", "Paris"]}, city)
    for land, city in CAPITALS.items()
]
KNOWN = ("Paris", "Rome", "Berlin")
asked: list[Request] = []


@tw.learned
def answer(question: str, options: list[str]) -> str:
    """Choose the right option."""


@tw.learned
def mood(text: str) -> Literal["glad", "sad"]:
    """How does the writer feel?"""


def script(request: Request) -> str:
    """Knows two capitals of the training set; of other questions it says A."""
    asked.append(request)
    text = request.messages[-1].content
    if "true" in request.format.choices:
        return "true" if "hard" in text else "false"
    if not request.format.choices:
        return "It is a city."
    if "glad" in request.format.choices:
        return "glad"
    land = next((land for land in CAPITALS if land in text), "")
    lines = text.splitlines()
    return next((line[0] for line in lines if CAPITALS.get(land) in KNOWN and CAPITALS[land] in line), "A")


@pytest.fixture(autouse=True)
def scripted(own_session: None) -> Any:
    asked.clear()
    with tw.using(model=ScriptedModel(script, identity="capitals")):
        yield


def test_chains_are_kept_only_where_the_answer_is_the_right_one() -> None:
    ready = Medprompt().prepare(answer, TRAIN)
    assert ready.prepared is not None
    kept = {one.inputs["question"].split()[-1]: one for one in ready.prepared.kept}
    assert set(kept) == {"France?", "Italy?", "Spain?"}  # of Spain by luck: it says A
    gold = {row["question"]: city for row, city in TRAIN}
    assert all(one.output == gold[one.inputs["question"]] for one in kept.values())
    assert all(one.inputs[REASONS] == "It is a city." for one in kept.values())
    assert (ready.prepared.asked, ready.prepared.share, ready.prepared.failed) == (4, 0.75, 0)
    before = len(asked)
    assert Medprompt(portfolio=True).prepare(answer, TRAIN).prepared == ready.prepared
    assert len(asked) == before  # from the cache


def test_a_question_that_fails_is_not_kept_and_if_all_fail_that_is_an_error() -> None:
    def failing(request: Request) -> str:
        if "Italy" in request.messages[-1].content:
            raise ModelError("It is down.", "Wait.")
        return script(request)

    with tw.using(model=ScriptedModel(failing, identity="failing"), cache=False):
        ready = Medprompt().prepare(answer, TRAIN).prepared
        assert ready is not None and (ready.failed, len(ready.kept)) == (1, 2)
        with pytest.raises(ModelError, match="down"):
            Medprompt().prepare(answer, [TRAIN[1]])


def test_every_order_shows_the_nearest_chains_and_the_options_are_mapped_back() -> None:
    ready = Medprompt(k=2).prepare(answer, TRAIN)
    asked.clear()
    value = answer.using(strategy=ready).submit("The capital city of France?", ["Oslo", "Paris", "Bonn", "Bern"])
    assert value.result() == "Paris"
    assert value.details["votes"] == {'"Paris"': 1.0} and value.details["ballots"] == 4
    assert value.details["demonstrations"][-1] == 0
    assert len(value.details["demonstrations"]) == 2
    answers = [one for one in asked if one.format.choices]
    assert len(asked) == 8 and len(answers) == 4
    assert all(f"{REASONS}: It is a city." in one.messages[-1].content for one in answers)
    assert all("The capital of France?" in one.messages[-3].content for one in answers)  # the nearest is last
    assert {one.messages[-2].content for one in answers} == {"D"}


def test_an_example_whose_letter_the_question_lacks_is_not_shown() -> None:
    ready = Medprompt(k=3).prepare(answer, TRAIN)
    value = answer.using(strategy=ready).submit("The capital city of France?", ["Oslo", "Paris"])
    assert value.result() == "Paris"
    assert set(value.details["demonstrations"]) == {1, 2}  # not that of France, whose answer is D


def test_the_answer_is_that_of_every_rotation_of_the_options() -> None:
    ready = Medprompt(k=2, portfolio=True).prepare(answer, TRAIN)
    function = answer.using(strategy=ready)
    for question in ("The capital of France?", "The capital of Peru?", "A hard one?"):
        options = ["Lima", "Paris", "Bonn", "Rome"]
        found = {function(question, options[i:] + options[:i]) for i in range(4)}
        assert len(found) == 1


def test_the_portfolio_weighs_reasoned_ballots_by_what_the_model_says() -> None:
    ready = Medprompt(k=1, portfolio=True).prepare(answer, TRAIN)

    def divided(request: Request) -> str:
        if REASONS in request.messages[-1].content and request.format.choices:
            return next(line[0] for line in request.messages[-1].content.splitlines() if line.endswith(". Bonn"))
        if "ABCD"[: len(request.format.choices)] == "".join(request.format.choices):
            return next(line[0] for line in request.messages[-1].content.splitlines() if line.endswith(". Lima"))
        return script(request)

    with tw.using(model=ScriptedModel(divided, identity="divided")):
        hard = answer.using(strategy=ready).submit("A hard one?", ["Lima", "Bonn", "Rome"])
        easy = answer.using(strategy=ready).submit("An easy one?", ["Lima", "Bonn", "Rome"])
        assert (hard.result(), easy.result()) == ("Bonn", "Lima")
    assert (hard.details["needs_reasoning"], hard.details["share"], hard.details["ballots"]) == (True, 2 / 3, 6)
    assert (easy.details["needs_reasoning"], easy.details["share"]) == (False, 2 / 3)


def test_a_closed_question_without_options_is_prepared_and_voted_too() -> None:
    train = [("what a day", "glad"), ("I miss her", "sad"), ("hurray", "glad")]
    ready = Medprompt(k=1, max_tokens=5).prepare(mood, train)
    assert ready.prepared is not None and ready.prepared.share in (1 / 3, 2 / 3)
    found = mood.using(strategy=ready).distribution("so it goes")
    assert set(found) == {"glad", "sad"} and sum(found.values()) == pytest.approx(1)
    drawn = mood.using(strategy=replace(ready, shuffle=None, votes=3)).submit("so it goes")
    assert drawn.result() in ("glad", "sad") and drawn.details["ballots"] == 3


def test_without_chains_the_labelled_examples_are_shown_as_they_are() -> None:
    ready = Medprompt(k=2, chains=False).prepare(answer, TRAIN)
    assert ready.prepared is not None and ready.prepared.share == 1 and not asked
    answer.using(strategy=ready)("The capital of France?", ["Oslo", "Paris"])
    assert len(asked) == 2 and REASONS not in str(asked)


def test_a_strategy_that_was_not_prepared_says_so() -> None:
    with pytest.raises(DataError, match="Prepare it first"):
        answer.using(strategy=Medprompt())("Which?", ["a", "b"])


def test_the_real_model_prepares_and_answers(model: Any, tmp_path: Any) -> None:
    with tw.using(model=model, store=tmp_path):
        ready = Medprompt(k=1, max_tokens=8).prepare(answer, TRAIN[:2])
        assert ready.prepared is not None
        gold = {row["question"]: city for row, city in TRAIN}
        assert all(one.output == gold[one.inputs["question"]] for one in ready.prepared.kept)
        options = ["Madrid", "Berlin", "Rome"]
        found = {answer.using(strategy=ready)("The capital of Germany?", options[i:] + options[:i]) for i in range(3)}
    assert len(found) == 1 and found <= set(options)
