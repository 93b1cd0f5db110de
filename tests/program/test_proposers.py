"""Proposers: one verb; a model's own probabilities, draws, votes, planted errors, and everything in order."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, TypeNotSupported
from thalweg.models.scripted import ScriptedModel
from thalweg.program.proposers import (
    Candidate,
    ChoiceProposer,
    ExhaustiveProposer,
    NeighbourProposer,
    Proposer,
    SamplingProposer,
    ScriptedProposer,
    State,
)
from thalweg.program.proposers.proposer import inputs_of, key_of
from thalweg.program.session import current, store_in_force

ANIMALS = ["cat", "dog", "fish", "horse"]


@tw.learned
def pick(sentence: str) -> str:
    """Which animal is the sentence about?"""


@tw.learned
def pick_again(sentence: str, counterexamples: list[str], options: list[str]) -> str:
    """Which animal is the sentence about? The counterexamples were wrong."""


@tw.learned
def colour(thing: str) -> Literal["red", "green", "blue"]:
    """What colour does the thing have?"""


@dataclass(frozen=True)
class Rule:
    name: str
    cost: int


# -- a model that chooses -------------------------------------------------------------------------------------------


def test_a_model_gives_every_option_its_probability_and_orders_by_it(model: Any) -> None:
    with tw.using(model=model):
        proposer = ChoiceProposer(pick)
        found = proposer.propose("The dog barks at the postman.", ANIMALS, k=4)
        top = proposer.propose("The dog barks at the postman.", ANIMALS, k=2)
    assert sorted(one.value for one in found) == sorted(ANIMALS)
    assert math.isclose(sum(one.score for one in found), 1.0, abs_tol=1e-9)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0].score > found[-1].score > 0
    assert top == found[:2]
    assert {one.source for one in found} == {"choice:pick"}


def test_the_order_in_which_options_are_named_is_in_the_prompt_alone(model: Any) -> None:
    """The candidates come by probability, whatever the order of the options."""
    with tw.using(model=model):
        for options in itertools.islice(itertools.permutations(ANIMALS), 0, 24, 7):
            found = ChoiceProposer(pick).propose("It swims in the sea.", options, k=4)
            table = dict(
                zip(options, ChoiceProposer(pick)._probabilities("It swims in the sea.", options), strict=True)
            )
            assert [one.value for one in found] == sorted(table, key=lambda value: -table[value])


def test_the_scores_are_those_of_a_learned_function_of_that_type(model: Any) -> None:
    with tw.using(model=model):
        table = colour.distribution("a ripe tomato")
        of_type = ChoiceProposer(colour).propose("a ripe tomato", None, k=3)
        of_options = ChoiceProposer(colour).propose("a ripe tomato", ["red", "green", "blue"], k=3)
    assert {one.value: one.score for one in of_type} == table
    assert of_options == of_type


def test_options_may_be_any_objects_that_read_differently(model: Any) -> None:
    rules = [Rule("push down", 3), Rule("join order", 9)]
    with tw.using(model=model):
        found = ChoiceProposer(pick, show=lambda rule: rule.name).propose("filters late", rules, k=2)
        plain = ChoiceProposer(pick).propose("filters late", rules, k=2)
        with pytest.raises(DataError, match="Two options read 'x'"):
            ChoiceProposer(pick, show=lambda rule: "x").propose("filters late", rules, k=2)
    assert {one.value for one in found} == {one.value for one in plain} == set(rules)


def test_what_was_tried_is_not_proposed_again(model: Any) -> None:
    with tw.using(model=model):
        proposer = ChoiceProposer(pick)
        order = [one.value for one in proposer.propose("It purrs.", ANIMALS, k=4)]
        later = proposer.propose(State("It purrs.", tried=(order[0], order[2])), ANIMALS, k=4)
        assert [one.value for one in later] == [order[1], order[3]]
        assert proposer.propose(State("It purrs.", tried=tuple(ANIMALS)), ANIMALS, k=4) == []
        assert proposer.propose("It purrs.", [], k=4) == []
        calls = list(store_in_force(current()).calls())
    assert len({call.key for call in calls}) == 1, "the same question is asked once, then the cache answers"


def test_state_reaches_the_prompt_by_the_names_of_the_inputs(model: Any) -> None:
    with tw.using(model=model):
        ChoiceProposer(pick_again).propose(State("It runs.", counterexamples=("a cat swims",)), ANIMALS, k=1)
        (call,) = store_in_force(current()).calls()
    assert "a cat swims" in call.prompt and "It runs." in call.prompt and "horse" in call.prompt


def test_demonstrations_of_other_options_are_left_out(model: Any) -> None:
    shown = pick.with_demonstrations(("It clucks.", "hen"), ("It barks.", "dog"))
    with tw.using(model=model):
        ChoiceProposer(shown).propose("It swims.", ANIMALS, k=1)
        (call,) = store_in_force(current()).calls()
    assert "It barks." in call.prompt and "It clucks." not in call.prompt


def test_options_without_an_end_are_refused_with_a_remedy() -> None:
    with pytest.raises(TypeNotSupported, match="SamplingProposer"):
        ChoiceProposer(pick).propose("x", None, k=1)
    with pytest.raises(TypeNotSupported, match="Narrow them first"):
        ChoiceProposer(pick).propose("x", [str(i) for i in range(600)], k=1)


@pytest.mark.parametrize(
    ("names", "state", "expected"),
    [
        (["a"], "x", {"a": "x"}),
        (["a", "b"], {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        (["a"], {"other": 1}, {"a": {"other": 1}}),
        (["a", "counterexamples"], State("x", (5,)), {"a": "x", "counterexamples": [5]}),
        (["a", "b", "tried"], State({"a": 1, "b": 2}, (), (7,)), {"a": 1, "b": 2, "tried": [7]}),
        (["options", "a"], "x", {"options": [1, 2], "a": "x"}),
    ],
)
def test_inputs_of_a_state(names: list[str], state: Any, expected: dict[str, Any]) -> None:
    assert inputs_of(names, state, [1, 2] if "options" in names else None) == expected


# -- a model that makes candidates up -------------------------------------------------------------------------------


@tw.learned
def number(task: str) -> int:
    """Name a number."""


def test_draws_are_merged_and_scored_by_their_share() -> None:
    def script(request: Any) -> str:
        return str(request.sampling.seed % 3)

    with tw.using(model=ScriptedModel(script, identity="by seed")):
        found = SamplingProposer(number).propose("any", None, k=7)
        later = SamplingProposer(number).propose(State("any", round=1), None, k=7)
    assert found == [Candidate(0, 3 / 7, "sampling:number"), Candidate(1, 2 / 7, "sampling:number"),
                     Candidate(2, 2 / 7, "sampling:number")]  # fmt: skip
    assert [one.score for one in later] == [3 / 7, 2 / 7, 2 / 7]
    assert [one.value for one in later] != [one.value for one in found], "another round draws anew"


def test_the_real_model_draws_values_of_the_type(model: Any) -> None:
    with tw.using(model=model):
        found = SamplingProposer(number, seed=3).propose("a number of legs", None, k=5)
        again = SamplingProposer(number, seed=3).propose("a number of legs", None, k=5)
    assert found == again
    assert all(type(one.value) is int for one in found)
    assert math.isclose(sum(one.score for one in found), 1.0)
    assert len({one.value for one in found}) == len(found)


def test_free_draws_take_no_options() -> None:
    with pytest.raises(ValueError, match="ChoiceProposer"):
        SamplingProposer(number).propose("x", [1, 2], k=2)


# -- votes of neighbours --------------------------------------------------------------------------------------------


class OnALine:
    """Texts are numbers; their vectors lie on a circle, so that near numbers are near."""

    def encode(self, texts: list[str]) -> np.ndarray[Any, Any]:
        angles = np.array([float(text) / 100 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_nearer_cases_have_the_stronger_vote() -> None:
    cases = [(0, "a"), (10, "b"), (12, "b"), (50, "c")]
    found = NeighbourProposer(cases, OnALine(), neighbours=3).propose(4, None, k=3)
    assert [one.value for one in found] == ["b", "a"], "two at 6 and 8 outvote one at 4"
    chord = [2 * math.sin(distance / 200) for distance in (4, 6, 8)]
    total = sum(1 / one for one in chord)
    assert found[1].score == pytest.approx(1 / chord[0] / total, rel=1e-4)
    assert sum(one.score for one in found) == pytest.approx(1)
    assert NeighbourProposer(cases, OnALine(), neighbours=1).propose(4, None, k=3)[0].value == "a"


def test_only_options_get_votes_and_tried_ones_are_left_out() -> None:
    cases = [(0, "a"), (1, "a"), (10, "b"), (30, "c")]
    voter = NeighbourProposer(cases, OnALine(), neighbours=2)
    assert [one.value for one in voter.propose(0, ["b", "c", "d"], k=3)] == ["b", "c"]
    assert voter.propose(0, ["d"], k=3) == []
    assert voter.propose(State(0, tried=("a",)), None, k=3) == []


def test_the_packaged_embedder_votes_by_meaning() -> None:
    cases = [
        ("My parcel never arrived.", "delivery"),
        ("The package is three days late.", "delivery"),
        ("The waiter was rude to us.", "staff"),
        ("Your clerk shouted at my mother.", "staff"),
        ("The fabric tore after one wash.", "quality"),
        ("The handle broke at once.", "quality"),
    ]
    voter = NeighbourProposer(cases, neighbours=3)
    for text, topic in (("Where is my shipment?", "delivery"), ("The cashier insulted me.", "staff")):
        assert voter.propose(text, None, k=3)[0].value == topic


def test_an_embedder_of_the_wrong_shape_is_named() -> None:
    class Flat:
        def encode(self, texts: list[str]) -> list[float]:
            return [0.0] * len(texts)

    with pytest.raises(DataError, match="one vector a text"):
        NeighbourProposer([("x", 1)], Flat()).propose("y", None, k=1)


# -- scripts with planted errors ------------------------------------------------------------------------------------


def right(state: Any, options: Any, k: int) -> list[Any]:
    return ["right"] * k


def test_the_name_says_scripted_and_faulty() -> None:
    proposer = ScriptedProposer(right)
    assert proposer.name == "scripted:right"
    assert proposer.faulty(0.25, seed=4).name == "scripted:right faulty 0.25 seed 4"
    (found,) = proposer.propose("x", None, k=1)
    assert found == Candidate("right", 0.0, "scripted:right")


@given(st.floats(0, 1), st.integers(0, 10**6))
@settings(deadline=None)
def test_errors_are_planted_at_the_declared_rate_and_repeat(rate: float, seed: int) -> None:
    proposer = ScriptedProposer(right).faulty(rate, seed, wrong=lambda value, source: f"wrong {source.random()}")
    found = [one.value for one in proposer.propose("x", None, k=400)]
    assert found == [one.value for one in proposer.propose("x", None, k=400)]
    share = sum(value != "right" for value in found) / 400
    assert abs(share - rate) < 5.5 * math.sqrt(0.25 / 400)
    later = [one.value for one in proposer.propose(State("x", proposed=100), None, k=300)]
    assert later == found[100:], "an error belongs to a place in the search, not to a call"


def test_an_error_is_another_option() -> None:
    proposer = ScriptedProposer(lambda state, options, k: [options[0]] * k).faulty(1.0, seed=1)
    assert {one.value for one in proposer.propose("x", ["a", "b", "c"], k=60)} == {"b", "c"}
    with pytest.raises(ValueError, match="pass `wrong`"):
        proposer.propose("x", ["a"], k=1)
    with pytest.raises(ValueError, match="rate=1.5"):
        proposer.faulty(1.5, seed=1)


# -- everything in order --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(), unique=True), st.integers(1, 7))
@settings(deadline=None)
def test_everything_comes_once_and_in_order(space: list[int], k: int) -> None:
    proposer, found = ExhaustiveProposer(space), []
    while batch := proposer.propose(State("x", proposed=len(found)), None, k):
        assert len(batch) == k or len(found) + len(batch) == len(space)
        found += [one.value for one in batch]
    assert found == space


def test_an_infinite_space_is_read_lazily() -> None:
    proposer = ExhaustiveProposer(itertools.count)
    assert [one.value for one in proposer.propose(State("x", proposed=10), None, k=3)] == [10, 11, 12]
    with pytest.raises(TypeError, match="read only once"):
        ExhaustiveProposer(itertools.count())


def test_a_finite_type_is_a_space() -> None:
    class Size(Enum):
        SMALL = "s"
        LARGE = "l"

    assert [one.value for one in ExhaustiveProposer.of(Size).propose("x", None, k=9)] == [Size.SMALL, Size.LARGE]
    pairs = [one.value for one in ExhaustiveProposer.of(tuple[bool, Size]).propose("x", None, k=9)]
    assert len(pairs) == 4 and set(pairs) == set(itertools.product((False, True), Size))
    with pytest.raises(TypeNotSupported, match="infinitely many"):
        ExhaustiveProposer.of(str)
    with pytest.raises(TypeError, match="nothing to enumerate"):
        ExhaustiveProposer().propose("x", None, k=1)


# -- all of them ----------------------------------------------------------------------------------------------------


def test_all_keep_the_protocol() -> None:
    for one in (ChoiceProposer(pick), SamplingProposer(number), NeighbourProposer([("x", 1)]),
                ScriptedProposer(right), ExhaustiveProposer()):  # fmt: skip
        assert isinstance(one, Proposer)


def test_keys_tell_apart_what_json_or_equality_alone_does_not() -> None:
    same_name = [lambda: 1, lambda: 2]
    assert key_of(same_name[0]) != key_of(same_name[1])
    assert len({key_of(value) for value in (1, True, 1.0, "1", (1,), (True,), None)}) == 7
    assert key_of([1, {"a": 2}]) == key_of([1, {"a": 2}]) != key_of((1, {"a": 2}))
    assert key_of(Rule("a", 1)) == key_of(Rule("a", 1)) != key_of(Rule("a", 2))
