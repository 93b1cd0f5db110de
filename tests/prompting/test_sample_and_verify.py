"""Drawing until a critic passes: how often it succeeds, and what it costs."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request, Usage
from thalweg.program.budget import Budget
from thalweg.program.intervals import wilson_interval
from thalweg.prompting.refine import Refine
from thalweg.prompting.sample_and_verify import SampleAndVerify


@tw.learned
def draw(case: int) -> int:
    """Draw a number."""
    ...


def right(inputs: Any, value: int) -> bool:
    return value == 1


def dice(chance: float) -> ScriptedModel:
    """1 with that chance, else 0: a function of case and seed, as draws of a model are."""

    def script(request: Request) -> Answer:
        luck = Random(f"{request.messages[-1].content} {request.sampling.seed}").random()
        return Answer(str(int(luck < chance)), usage=Usage(prompt_tokens=5, output_tokens=1))

    return ScriptedModel(script)


@pytest.mark.parametrize("chance", [0.1, 0.3])
def test_success_within_k_draws_is_one_minus_all_failing(chance: float) -> None:
    cases = 400
    with tw.using(model=dice(chance), cache=False, journal=False, progress=False):
        values = [draw.using(strategy=SampleAndVerify(right, k=8)).submit(case) for case in range(cases)]
        tries = [(value.result(), value.details["tries"])[1] for value in values]
    for k in (1, 3, 8):
        solved = sum(any(one["passed"] for one in made[:k]) for made in tries)
        low, high = wilson_interval(solved, cases, z=3.3)  # one failure in a thousand seeds, and the seeds are fixed
        assert low <= 1 - (1 - chance) ** k <= high


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 8), calls=st.integers(0, 9))
def test_draws_are_bounded_and_accounted_exactly(k: int, calls: int) -> None:
    with tw.using(model=dice(0.0), cache=False, journal=False):
        value = draw.using(strategy=SampleAndVerify(right, k=k, budget=Budget(calls=calls))).submit(1)
        assert value.result() == 0
    made = max(1, min(k, calls))
    assert value.details["calls"] == len(value.details["tries"]) == made
    assert value.details["tokens"] == 6 * made and not value.details["accepted"]
    assert value.details["stop"] == ("calls" if calls < k else "rounds")


def test_it_stops_at_the_first_that_passes_and_equal_seeds_draw_equally() -> None:
    with tw.using(model=dice(0.3), cache=False, journal=False):
        found = []
        for seed in (0, 0, 1):
            value = draw.using(strategy=SampleAndVerify(right, k=50), seed=seed).submit(4)
            assert value.result() == 1 and value.details["accepted"]
            assert [one["passed"] for one in value.details["tries"]] == [False] * (value.details["calls"] - 1) + [True]
            found.append(value.details["calls"])
    assert found[0] == found[1]


def test_a_loop_and_its_control_spend_the_same_calls() -> None:
    with tw.using(model=dice(0.0), cache=False, journal=False):
        spent = []
        for strategy in (Refine(right, rounds=7), SampleAndVerify(right, k=7)):
            value = draw.using(strategy=strategy).submit(1)
            value.result()
            spent.append((value.details["calls"], value.details["checks"]))
    assert spent == [(7, 7), (7, 7)]


@pytest.mark.parametrize("bad", [{"k": 0}, {"temperature": 0}, {"budget": Budget(seconds=1)}, {"critic": 1}])
def test_bad_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        SampleAndVerify(**{"critic": right, **bad})


def test_draws_are_those_of_sample() -> None:
    with tw.using(model=dice(0.5), cache=False, journal=False):
        value = draw.using(strategy=SampleAndVerify(lambda _i, _v: False, k=6, temperature=0.9)).submit(3)
        value.result()
        assert [one["value"] for one in value.details["tries"]] == draw.sample(3, n=6, temperature=0.9)
