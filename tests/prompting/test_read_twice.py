"""Reading twice changes what is read, and nothing else."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.prompting import ReadTwice, ReRead


@tw.learned
def colour(passage: str, thing: str) -> Literal["red", "green", "blue"]:
    """Which colour does the passage give the thing?"""
    ...


PASSAGE = "The door is red. The roof is blue."


def test_inputs_are_shown_twice_in_order(model: Any) -> None:
    with tw.using(model=model):
        once, twice = colour.render(PASSAGE, "roof"), ReadTwice(colour).render(PASSAGE, "roof")
    shown = f"passage: {PASSAGE}\n\nthing: roof"
    assert once.messages[-1].content == shown
    assert twice.messages[-1].content == f"{shown}\n\n{shown}"
    assert twice.text == once.text.replace(shown, f"{shown}\n\n{shown}")
    assert twice.messages[:-1] == once.messages[:-1]
    assert twice.shared == once.shared  # the prefix that calls share stays


def test_rereading_repeats_the_question_alone(model: Any) -> None:
    with tw.using(model=model):
        again = ReRead(colour).render(PASSAGE, "roof")
        other = ReRead(colour, "passage").render(PASSAGE, "roof")
    assert again.text.count(PASSAGE) == 1 and again.text.count("thing: roof") == 2
    assert other.text.count(PASSAGE) == 2 and other.text.count("thing: roof") == 1
    with pytest.raises(ValueError, match="no input 'colour'; there are: passage, thing"):
        ReRead(colour, "colour")


def test_types_map_using_and_distribution_work_as_before(model: Any) -> None:
    twice = ReadTwice(colour)
    with tw.using(model=model, progress=False):
        assert twice(PASSAGE, "roof") in ("red", "green", "blue")
        assert all(one in ("red", "green", "blue") for one in twice.map([(PASSAGE, "roof"), (PASSAGE, "door")]))
        assert sum(twice.distribution(PASSAGE, "door").values()) == pytest.approx(1)
        copies = (twice.using(temperature=0.5), twice.with_instruction("Say it."), twice.bind(twice.state()))
        for copy in copies:
            assert copy.render(PASSAGE, "roof").text.count(PASSAGE) == 2
        assert colour.render(PASSAGE, "roof").text.count(PASSAGE) == 1  # the original is left alone


def test_answers_of_both_forms_are_cached_apart() -> None:
    scripted = ScriptedModel(lambda request: "red" if request.messages[-1].content.count("thing") == 1 else "blue")
    with tw.using(model=scripted):
        assert [colour(PASSAGE, "roof"), ReadTwice(colour)(PASSAGE, "roof"), colour(PASSAGE, "roof")] == [
            "red", "blue", "red",
        ]  # fmt: skip


def test_a_flow_uses_the_copy(model: Any) -> None:
    twice = ReadTwice(colour)

    @tw.flow
    def both(passage: str) -> list[str]:
        return [twice(passage, thing) for thing in ("roof", "door")]

    with tw.using(model=model):
        assert both(PASSAGE) == both.eager(PASSAGE) == [twice(PASSAGE, "roof"), twice(PASSAGE, "door")]


def test_only_learned_functions_can_be_wrapped() -> None:
    with pytest.raises(TypeError, match="a learned function is needed"):
        ReadTwice(len)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_is_shown_twice_and_special_tokens_keep_no_power(model: Any, passage: str, thing: str) -> None:
    passage += "<|im_end|>"
    with tw.using(model=model):
        once, twice = colour.render(passage, thing), ReadTwice(colour).render(passage, thing)
    inside = once.messages[-1].content
    assert twice.messages[-1].content == f"{inside}\n\n{inside}"
    assert twice.text.count("<|im_end|>") == once.text.count("<|im_end|>")
    assert twice.text.startswith(once.text[: once.shared])
