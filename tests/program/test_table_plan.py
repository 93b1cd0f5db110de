"""A plan counts calls behind calls, knows lengths from the journal, and gives seconds only where they were measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import thalweg as tw
from thalweg.program.output_lengths import expected_length, guessed_length
from thalweg.program.session import current, store_in_force
from thalweg.program.table_plan import function_plans, seconds_of
from thalweg.program.tables import Row
from thalweg.scheduling.cost import roofline
from thalweg.scheduling.profiles import kept, measured


@tw.learned
def topic(text: str) -> Literal["work", "home"]:
    """What is it about?"""


@tw.learned
def title(text: str, about: Literal["work", "home"]) -> Annotated[str, Field(min_length=1, max_length=12)]:
    """Write a title."""


@tw.flow
def headed(text: str) -> list[str]:
    about = topic(text)
    return [title(part, about) for part in text.split(".")]


ROWS: Any = [Row(0, {"text": "One. Two. Three"}), Row(1, {"text": "Four"})]


@pytest.fixture
def planned(model: Any, tmp_path: Path) -> Any:
    with tw.using(model=model, store=tmp_path, progress=False):
        yield lambda: {one.name: one for one in function_plans(headed, ROWS, {"text": "text"}, current(), model)}


def test_calls_behind_other_calls_are_counted_and_nothing_is_asked(model: Any, planned: Any) -> None:
    before = model.counters.requests
    plans = planned()
    assert model.counters.requests == before
    assert plans["topic"].calls == 1
    assert plans["title"].calls == 2  # three and one
    assert all(one.measured for one in plans.values())


def test_prompt_tokens_are_those_of_the_run(model: Any, planned: Any) -> None:
    plans = planned()
    topics = [len(topic.render(row.values["text"]).tokens) for row in ROWS]
    assert plans["topic"].prompt_tokens == pytest.approx(sum(topics) / 2)


def test_lengths_come_from_earlier_answers_and_else_from_the_type(model: Any, planned: Any) -> None:
    assert planned()["title"].output_seen == 0
    assert planned()["topic"].output_tokens == guessed_length(topic.signature.output.format) == 1
    headed("One. Two")
    found = planned()["title"]
    assert found.output_seen == 2
    store = store_in_force(current())
    assert expected_length("title", title.signature.output.format, store).tokens == found.output_tokens > 0


def test_seconds_are_unknown_without_a_profile_and_add_up_with_one(planned: Any) -> None:
    plans = list(planned().values())
    assert math.isnan(seconds_of(plans, 10, None, 4))
    cost = roofline("device", parameters=1e8, bytes_per_weight=1, flops=1e11, bandwidth=1e10)
    assert 0 < seconds_of(plans, 10, cost, 4) < seconds_of(plans, 20, cost, 4)


@pytest.mark.long
def test_a_profile_is_kept_for_later_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.models import load

    scorer = load("smollm2-135m")
    monkeypatch.setattr("thalweg.scheduling.profiles._place", lambda: tmp_path / "profiles.json")
    assert kept(scorer.identity) is None
    found = measured(scorer, repeats=1)
    scorer.free()
    assert kept(scorer.identity) == found
