"""Semantic operators: Python's own where a type decides, without a call; one learned function each elsewhere."""

from __future__ import annotations

import datetime
import math
import operator
from enum import Enum
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, StateMismatch
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer
from thalweg.program import Store, semantic
from thalweg.program.journal import Scope, inside
from thalweg.program.semantic import Sem

MEANINGS = {"hi": "hello", "good day": "hello", "crimson": "red", "scarlet": "red", "auto": "car", "tall": "tall"}
SIZES = ["ant", "mouse", "dog", "horse", "whale"]


class Colour(Enum):
    RED = "red"


def inputs_of(request):
    pairs = (part.split(": ", 1) for part in request.messages[-1].content.split("\n\n"))
    return {name: text.strip() for name, text in pairs}


class Meaning:
    """A model that knows a few synonyms and the sizes of animals, and counts what it is asked."""

    def __init__(self):
        self.asked = []
        self.model = ScriptedModel(self._answer, identity="meaning")

    @property
    def calls(self):
        return len(self.asked)

    def _answer(self, request):
        given = inputs_of(request)
        self.asked.append(given)
        if "less than" in request.messages[0].content:
            yes = SIZES.index(given["a"]) < SIZES.index(given["b"])
        elif "statement" in given:
            yes = "is an animal" in given["statement"] and given["text"] in SIZES
        elif "whole" in given:
            yes = any(MEANINGS.get(word, word) == MEANINGS.get(given["part"], 0) for word in given["whole"].split())
        else:
            yes = MEANINGS.get(given.get("a"), given.get("a")) == MEANINGS.get(given.get("b"), given.get("b"))
        if request.format.choices == ("true", "false"):
            text = "true" if yes else "false"
        elif request.format.choices:
            text = next((one for one in request.format.choices if MEANINGS.get(given["value"]) == one),
                        request.format.choices[-1])  # fmt: skip
        elif "JSON" in request.messages[0].content or request.format.kind == "json":
            text = '["a", "b"]' if "what" in given else "3"
        else:
            text = " ".join(given.values())
        if request.want == "distribution":
            return Answer(text, probabilities=tuple(0.75 if one == text else 0.25 for one in request.format.choices))
        return text


@pytest.fixture
def meaning():
    made = Meaning()
    with tw.using(model=made.model, cache=False):
        yield made


class NoModel:
    """Any use of the model is an error."""

    name = identity = "none"

    @property
    def capabilities(self):
        raise AssertionError("the model was looked at")

    def submit(self, *args):
        raise AssertionError("the model was asked")


numbers = st.integers() | st.floats(allow_nan=True) | st.booleans() | st.decimals(allow_nan=False)
reals = st.integers() | st.floats(allow_nan=False)
dates = st.dates()
items = st.lists(st.integers() | st.text(), max_size=4)
exact = numbers | dates | items | st.none() | st.binary(max_size=3) | st.frozensets(st.integers(), max_size=3)


@given(exact, exact)
@hypothesis_settings(max_examples=200, deadline=None)
def test_equality_of_exact_values_is_pythons_own_without_a_call(a, b):
    with tw.using(model=NoModel()):
        assert (Sem(a) == b) is (a == b) is semantic.same(a, b)
        assert (Sem(a) != b) is (a != b)
        assert (Sem(a) == a) is (a == a)


@given(reals, reals)
def test_order_of_numbers_is_pythons_own_without_a_call(a, b):
    with tw.using(model=NoModel()):
        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            assert compare(Sem(a), b) is compare(a, b)
        assert semantic.less(a, b) is (a < b)


@given(st.lists(st.integers(), max_size=5), st.lists(st.integers(), max_size=5), st.integers())
def test_lists_behave_as_python_says_without_a_call(a, b, item):
    with tw.using(model=NoModel()):
        assert (item in Sem(a)) is (item in a)
        assert (Sem(a) < b) is (a < b) and (Sem(a) + b).value == a + b
        assert semantic.rank(a) == sorted(a)
        assert semantic.unique(a) == list(dict.fromkeys(a))
        assert set((Sem(a) & b).value) == set(a) & set(b)
        assert set((Sem(a) | b).value) == set(a) | set(b)
        assert set((Sem(a) - b).value) == set(a) - set(b)
        assert set((Sem(a) ^ b).value) == set(a) ^ set(b)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.sets(st.text()), st.sets(st.text()))
def test_algebra_of_numbers_and_sets_is_pythons_own_without_a_call(a, b, c, d):
    with tw.using(model=NoModel()):
        for combine in (operator.and_, operator.or_, operator.xor, operator.sub):
            assert combine(Sem(a), b).value == combine(a, b) == combine(a, Sem(b)).value
            assert combine(Sem(c), d).value == combine(c, d)
        assert (~Sem(a)).value == ~a and (~Sem(True)).value is False


@given(st.text(), st.text())
def test_equal_texts_and_parts_of_texts_need_no_call(a, b):
    with tw.using(model=NoModel()):
        assert Sem(a) == a and (Sem(a) != a) is False and semantic.same(a, a)
        assert a in Sem(b + a) and not Sem(a) < a and Sem(a) <= a
        assert semantic.same.distribution(a, a) == {True: 1.0, False: 0.0}
        assert semantic.same.score(a, a, value=True) == 0.0 and semantic.same.score(a, a, value=False) == -math.inf
        assert semantic.same.map([(a, a), (b, b)]) == [True, True]
        assert semantic.same.sample(a, a, n=2) == [True, True]
        assert list(semantic.same.stream(a, a))[-1] == tw.Done(True)


@given(st.integers(), st.dates(), st.floats(allow_nan=False, allow_infinity=False))
def test_a_text_that_is_a_number_or_date_is_compared_as_one(number, day, real):
    with tw.using(model=NoModel()):
        assert Sem(str(number)) == number and Sem(number) == f" {number} " and Sem(number) != str(number + 1)
        assert Sem(day.isoformat()) == day and Sem(repr(real)) == real
        assert Sem(str(number)) < number + 1 and Sem(day) >= day.isoformat()


def test_exact_types_that_python_does_not_order_raise_as_python_does():
    with tw.using(model=NoModel()):
        for a, b in [(3, [1]), (None, 1), (datetime.date(2024, 1, 1), 5)]:
            with pytest.raises(TypeError):
                assert Sem(a) < b
        assert Sem(Colour.RED) == Colour.RED and Sem(Colour.RED) != 3


def test_texts_are_compared_by_meaning_in_one_call_each(meaning):
    assert Sem("hi") == "good day" and Sem("hi") != "red"
    assert "scarlet" in Sem("a crimson dress") and "scarlet" not in Sem("a green dress")
    assert Sem("ant") < "dog" and Sem("whale") >= "horse" and not Sem("dog") > "whale"
    if Sem("hi") == Sem("hello"):
        assert meaning.calls == 8
    assert type(Sem("hi") == "hello") is bool


def test_syntactic_mode_is_plain_python_and_sem_switches_back(meaning):
    assert Sem("hi").syn != "hello" and Sem("b").syn > "a" and "ell" in Sem("hello").syn
    assert (Sem(3).syn & 1).value == 1 and repr(Sem("a").syn) == "Sem('a').syn"
    with pytest.raises(TypeError):
        assert Sem("a").syn & "b"
    assert meaning.calls == 0
    assert Sem("hi").syn.sem == "hello" and meaning.calls == 1
    with tw.using(mode="python"):
        assert Sem("hi") != "hello" and meaning.calls == 1


def test_logic_of_texts_is_learned_and_chains(meaning):
    said = (Sem("it rains") & "it is cold") | "it snows"
    assert said.value == "it rains it is cold it snows"
    assert ("not " + ~Sem("true")).value == "not true"
    assert (Sem("a and b") - "b").value == "a and b b" and meaning.calls == 4


def test_several_values_are_one_batch_and_equal_ones_are_not_asked(meaning):
    assert semantic.union(["hi", "red"], ["hello", "auto"]) == ["hi", "red", "auto"] and meaning.calls == 4
    meaning.asked.clear()
    assert semantic.intersection(["hi", "red"], ["red", "hello"]) == ["hi", "red"] and meaning.calls == 2
    assert semantic.difference(["hi", "car"], ["hello"]) == ["car"]
    assert semantic.unique(["hi", "red", "hello", "crimson", "red", "car"]) == ["hi", "red", "car"]
    assert semantic.select(["car", "dog", "whale"], "it is an animal") == ["dog", "whale"]
    assert Sem(["car", "dog"]).filter("it is an animal").value == ["dog"]
    meaning.asked.clear()
    assert semantic.rank(["whale", "ant", "horse", "mouse"], by="size") == ["ant", "mouse", "horse", "whale"]
    assert meaning.calls == 12


def test_choose_cast_and_lookup_are_exact_first(meaning):
    with tw.using(model=NoModel()):
        assert semantic.choose("red", ["red", "car"]) == "red" and semantic.choose("x", [7]) == 7
        assert semantic.cast(" 42 ", int) == 42 and semantic.cast(3, float) == 3.0 and semantic.cast(2.0, int) == 2
        assert semantic.cast("2024-02-29", datetime.date) == datetime.date(2024, 2, 29)
        assert semantic.cast("red", Colour) is Colour.RED and semantic.cast([1, 2], list[int]) == [1, 2]
        assert semantic.cast(12, str) == "12" and semantic.cast("true", bool) is True
        assert Sem({"red": 1, "car": 2})["car"].value == 2 and Sem([4, 5])[1].value == 5
        with pytest.raises(DataError, match="equal ones"):
            semantic.choose("x", ["a", "a"])
    assert semantic.choose("scarlet", ["car", "red"]) == "red"
    assert semantic.cast("three", int) == 3 and Sem("three").to(int) == 3
    assert Sem({"red": 1, "car": 2})["auto"].value == 2
    assert Sem("x y").query("how many?", int) == 3 and Sem("a, b").extract("letters").value == ["a", "b"]


def test_a_typed_copy_has_every_verb_and_shares_the_parameters(meaning):
    typed = semantic.choice.among(["red", "car"])
    assert typed.origin is semantic.choice.origin and typed is semantic.choice.among(["red", "car"])
    assert typed.map([("auto",), ("scarlet",), ("red",)]) == ["car", "red", "red"] and meaning.calls == 2
    number = semantic.query.to(Literal[1, 2])
    assert number.signature.output.values() == (1, 2)
    with semantic.bound({"semantic.query/instruction": "Look it up."}):
        assert number.parameters.instruction == "Look it up."
        assert "Look it up." in number.render("text", "how many?").text


def test_pipes_and_foreach_go_step_by_step(meaning):
    shout = semantic.compose("trim it", str.upper, len)
    assert shout("abc") == len("abc trim it") and shout.map(["a", "bc"]) == [9, 10]
    assert semantic.foreach(["a", "b"], "twice") == ["a twice", "b twice"]
    assert semantic.foreach(["x"], semantic.summarise) == ["x"]
    assert Sem(["a"]).map("twice").value == ["a twice"]


def test_operators_are_learned_functions_with_state(meaning):
    state = semantic.state()
    assert set(state) >= {"semantic.same/instruction", "semantic.less/demonstrations", "semantic.choice/adapter"}
    assert all(isinstance(one, tw.Learned) and one.parameters.instruction for one in semantic.learned().values())
    with semantic.bound({"semantic.same/instruction": "Are they synonyms?"}):
        assert semantic.same.parameters.instruction == "Are they synonyms?"
        assert Sem("hi") == "hello"
    assert semantic.state() == state
    with pytest.raises(StateMismatch), semantic.bound({"semantic.nothing/instruction": "x"}):
        pass


def test_operators_named_in_a_flow_are_part_of_its_state(meaning):
    from thalweg.program.semantic import holds, same

    @tw.flow
    def judge(text: str) -> bool:
        return same(text, "hello") or holds("it is an animal", text)

    assert set(judge.learned()) == {"judge.same", "judge.holds"}
    other = judge.bind({"judge.same/instruction": "Synonyms?"})
    assert judge.map(["hi", "dog", "hello", "car"]) == [True, True, True, False]
    assert other.state()["judge.same/instruction"] == "Synonyms?" and other("hi")


def test_calls_are_journalled_and_places_do_not_depend_on_what_was_exact(meaning, tmp_path):
    from thalweg.program.semantic import same

    @tw.flow
    def compare(texts: list[str]) -> list[bool]:
        return [same(text, "hello") for text in texts]

    store = Store(tmp_path / "run")
    store.begin("run", "script", "", {})
    for run in (compare, compare.eager):
        with tw.using(store=store), inside(Scope("run", store=store)):
            assert run(["hello", "hi", "hello", "red"]) == [True, True, True, False]
    calls = {call.path: call.value for call in store.calls() if call.function == "same"}
    assert calls == {"compare#0/same#1": "true", "compare#0/same#3": "false"}


def test_confidence_is_a_distribution(model):
    with tw.using(model=model):
        table = semantic.same.distribution("The shop opens at nine.", "The store opens at 9 a.m.")
        assert set(table) == {True, False} and abs(sum(table.values()) - 1) < 1e-6
        assert semantic.same("The shop opens at nine.", "The store opens at 9 a.m.") is (table[True] > table[False])
        assert semantic.choose("I want my money back.", ["refund", "praise"]) in ("refund", "praise")
        assert isinstance(Sem("three dogs").query("How many?", int), int)


def test_sem_inside_a_flow_means_the_same_overlapped_and_eager(meaning):
    @tw.flow
    def sort_out(texts: list[str]) -> dict[str, str]:
        found = {}
        for text in texts:
            if Sem(text) == "hello":
                found[text] = "greeting"
            elif "scarlet" in Sem(text):
                found[text] = "colour"
        return found

    expected = {"hi": "greeting", "hello": "greeting", "a crimson dress": "colour"}
    assert sort_out(["hi", "car", "hello", "a crimson dress"]) == expected
    assert sort_out.eager(["hi", "car", "hello", "a crimson dress"]) == expected
