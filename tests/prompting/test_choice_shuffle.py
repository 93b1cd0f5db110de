"""Choice shuffling: the answer is the same for every rotation of the options; what is returned stays the function's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError
from thalweg.models.request import Answer, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.program.strategy import Demonstration
from thalweg.prompting.choice_shuffle import ChoiceShuffle

QUESTIONS = [
    ("What is the capital of France?", ["Rome", "Paris", "Berlin", "Madrid"]),
    ("Which animal barks?", ["a cow", "a cat", "a dog", "a hen"]),
    ("What do bees make?", ["honey", "milk", "wool", "silk"]),
    ("Which is a fruit?", ["a carrot", "an apple", "a stone", "a chair"]),
    ("How many days has a week?", ["five", "six", "seven", "eight"]),
    ("Where do fish live?", ["in trees", "in water", "in books", "in the sky"]),
    ("What is frozen water called?", ["steam", "ice", "sand", "oil"]),
    ("Which planet do we live on?", ["Mars", "Venus", "Earth", "Saturn"]),
    ("What do you use to write?", ["a pen", "a spoon", "a shoe", "a plate"]),
    ("What colour is grass?", ["red", "green", "black", "pink"]),
    ("Which is the largest?", ["a mouse", "an elephant", "an ant", "a cat"]),
    ("When does the sun rise?", ["at noon", "at night", "in the morning", "never"]),
    ("What keeps you dry in rain?", ["a fork", "an umbrella", "a lamp", "a letter"]),
    ("Who treats sick people?", ["a baker", "a pilot", "a doctor", "a painter"]),
    ("What is the opposite of hot?", ["cold", "tall", "loud", "wide"]),
    ("Which is a metal?", ["wood", "iron", "paper", "glass"]),
    ("What do cows drink as calves?", ["tea", "milk", "juice", "wine"]),
    ("Which season is coldest?", ["summer", "spring", "winter", "autumn"]),
    ("What has four wheels?", ["a car", "a boat", "a bird", "a tree"]),
    ("What do we see with?", ["ears", "eyes", "hands", "feet"]),
]


@tw.learned
def answer(question: str, options: list[str]) -> str:
    """Choose the right option."""


@tw.learned
def index(question: str, options: list[str]) -> int:
    """Choose the right option."""


@tw.learned
def letter(question: str, options: list[str]) -> Literal["A", "B", "C", "D"]:
    """Choose the right option."""


@tw.learned
def topic(text: str) -> Literal["sport", "money", "weather"]:
    """What is it about?"""


def swayed(request: Request) -> Answer:
    """Answers by a hash of the whole prompt: the order of the options decides, as for a very small model."""
    digest = hashlib.blake2b(request.messages[-1].content.encode() + request.messages[0].content.encode()).digest()
    odds = [1 + digest[i] for i in range(len(request.format.choices))]
    odds = tuple(one / sum(odds) for one in odds)
    best = max(range(len(odds)), key=odds.__getitem__)
    known = -0.1 - digest[20] / 64 if digest[21] % 4 else float("nan")
    return Answer(request.format.choices[best], known, probabilities=odds)


def rotations(options: list[str]) -> list[list[str]]:
    return [options[i:] + options[:i] for i in range(len(options))]


@pytest.fixture(scope="module")
def hashed() -> Any:
    model = ScriptedModel(swayed, identity="swayed")
    model.capabilities = replace(model.capabilities, logits="full")
    return model


@settings(max_examples=40, deadline=None)
@given(
    st.text("abc", max_size=3),
    st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=2, max_size=6, unique=True),
    st.booleans(),
)
def test_cyclic_answers_are_the_same_for_every_rotation(
    hashed: Any, question: str, options: list[str], soft: bool
) -> None:
    with tw.using(model=hashed, journal=False, cache=False):
        asked = answer.using(strategy=ChoiceShuffle(soft=soft))
        found = {asked(question, turned) for turned in rotations(options)}
        assert len(found) == 1 and found <= set(options)
        by_index = index.using(strategy=ChoiceShuffle(soft=soft))
        assert {turned[by_index(question, turned)] for turned in rotations(options)} == found


@settings(max_examples=20, deadline=None)
@given(st.permutations(["red", "blue", "green", "grey"]))
def test_random_orders_answer_the_same_for_every_order_given(hashed: Any, options: list[str]) -> None:
    with tw.using(model=hashed, journal=False, cache=False):
        asked = letter.using(strategy=ChoiceShuffle("random", 3))
        first = answer.using(strategy=ChoiceShuffle("random", 3))("Which?", ["red", "blue", "green", "grey"])
        assert options["ABCD".index(asked("Which?", options))] == first


def test_the_question_shows_letters_and_its_answer_comes_back_as_the_function_says() -> None:
    asked: list[Request] = []

    def right(request: Request) -> str:
        asked.append(request)
        lines = request.messages[-1].content.splitlines()
        return next((line[0] for line in lines if line.endswith(". Paris")), "A")

    question, options = QUESTIONS[0]
    shown = Demonstration({"question": "Italy?", "options": ["Oslo", "Rome", "Bern"]}, "Rome")
    with tw.using(model=ScriptedModel(right, identity="right"), cache=False):
        shuffled = answer.with_demonstrations(shown).using(strategy=ChoiceShuffle())
        assert shuffled(question, options) == "Paris"
        assert len(asked) == 4
        assert {one.format.choices for one in asked} == {("A", "B", "C", "D")}
        last = asked[-1].messages
        assert [one.content for one in last[1:3]] == ["question: Italy?\n\noptions:\nA. Oslo\nB. Rome\nC. Bern", "B"]
        assert last[3].content.endswith("options:\nA. Madrid\nB. Rome\nC. Paris\nD. Berlin")
        assert index.using(strategy=ChoiceShuffle())(question, options) == 1
        assert letter.using(strategy=ChoiceShuffle())(question, options) == "B"
        assert letter.using(strategy=ChoiceShuffle("given")).distribution(question, options) == {
            "A": 0, "B": 1, "C": 0, "D": 0,
        }  # fmt: skip


def test_values_of_a_literal_are_named_in_other_orders() -> None:
    asked: list[Request] = []

    def first(request: Request) -> str:
        asked.append(request)
        return "money" if "money, weather" in request.messages[0].content else request.format.choices[0]

    with tw.using(model=ScriptedModel(first, identity="first"), cache=False):
        function = topic.with_demonstrations(("It rains.", "weather")).using(strategy=ChoiceShuffle())
        assert function("Shares fall.") == "money"
    assert [one.format.choices[0] for one in asked] == ["sport", "money", "weather"]
    assert all(one.messages[2].content == "weather" for one in asked)


def test_soft_votes_show_what_a_model_that_always_says_a_leans_to() -> None:
    def leaning(request: Request) -> Answer:
        lines = request.messages[-1].content.splitlines()[-4:]
        odds = [0.6, 0.1, 0.1, 0.1]
        odds["ABCD".index(next(line[0] for line in lines if "Paris" in line))] += 0.1
        return Answer("A", probabilities=tuple(odds))

    model = ScriptedModel(leaning, identity="leaning")
    model.capabilities = replace(model.capabilities, logits="full")
    question, options = QUESTIONS[0]
    with tw.using(model=model, cache=False):
        assert answer.using(strategy=ChoiceShuffle(soft=True))(question, options) == "Paris"
        hard = answer.using(strategy=ChoiceShuffle()).submit(question, options)
        assert hard.result() == "Berlin" and hard.details["tied"] == 4  # all equal: the first by its text


def test_what_cannot_be_shuffled_is_refused_with_the_remedy(hashed: Any) -> None:
    @tw.learned
    def grade(question: str, options: list[str]) -> float:
        """How good is the best option?"""

    with tw.using(model=hashed, cache=False):
        with pytest.raises(DataError, match="2 to 26"):
            answer.using(strategy=ChoiceShuffle())("Which?", ["one"])
        with pytest.raises(DataError, match="neither text nor a number"):
            grade.using(strategy=ChoiceShuffle())("Which?", ["a", "b"])
        with pytest.raises(DataError, match="none of the options"):
            answer.with_demonstrations((("Which?", ["a", "b"]), "c")).using(strategy=ChoiceShuffle())("?", ["a", "b"])
    with pytest.raises(ValueError, match="order"):
        ChoiceShuffle("sorted")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.long)])
def test_on_the_real_model_every_rotation_is_answered_alike_where_single_orders_differ(
    model: Any, tmp_path: Any, count: int
) -> None:
    swayed = 0
    with tw.using(model=model, store=tmp_path):
        single, shuffled = answer.using(strategy=ChoiceShuffle("given")), answer.using(strategy=ChoiceShuffle())
        rows = [(question, turned) for question, options in QUESTIONS[:count] for turned in rotations(options)]
        one, voted = single.map(rows), shuffled.map(rows)
    for number in range(count):
        assert len(set(voted[4 * number : 4 * number + 4])) == 1
        swayed += len(set(one[4 * number : 4 * number + 4])) > 1
    assert swayed > count / 10
