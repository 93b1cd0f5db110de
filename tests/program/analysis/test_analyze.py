"""What is said before a run is what the run does: calls and tokens exactly, the rest by the laws of the paper."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import DataError, FlowError, UnsupportedByBackend
from thalweg.program.analysis import analyze, calibrated
from thalweg.program.analysis.errors import (
    counting_bound,
    counting_deviation,
    hierarchical_error,
    incremental_error,
    merge_bound,
    retrieval_success,
)
from thalweg.scheduling.cost import CostModel, Prices

LINEAR = CostModel((0.0, 1e-3), ((1, 0.0), (1024, 0.0)), 0.0, "a second for a thousand prompt tokens")


@tw.learned
def digits(text: str) -> int:
    """How many digits are in the text?"""


@tw.learned
def join(counts: str) -> int:
    """The sum of the numbers."""


@tw.flow
def count(text: str, m: int) -> int:
    """Digits, counted in parts of m characters."""
    return sum([digits(text[i : i + m]) for i in range(0, len(text), m)])


@tw.flow
def merged(text: str, m: int) -> int:
    found = [digits(text[i : i + m]) for i in range(0, len(text), m)]
    return join(" ".join(map(str, found)))


def text(length: int) -> str:
    draw = random.Random(length)
    return "".join(draw.choice("abc 0123") for _ in range(length))


def test_calls_and_prompt_tokens_are_exactly_those_of_the_run(model: Any) -> None:
    with tw.using(model=model, cache=False, journal=False):
        found = analyze(count, {"text": text(120)}, vary={"m": [20, 50, 120]})
        for row in found.rows:
            before = (model.counters.requests, model.counters.prompt_tokens)
            count(text(120), row.setting["m"])
            after = (model.counters.requests, model.counters.prompt_tokens)
            assert (row.calls, row.prompt) == (after[0] - before[0], after[1] - before[1])
            assert row.calls == math.ceil(120 / row.setting["m"]) and row.waves == 1


def test_what_waits_for_answers_is_another_wave(model: Any) -> None:
    with tw.using(model=model):
        found = analyze(merged, {"text": text(80)}, vary={"m": [20]}, parallelism=8, cost=LINEAR)
    row = found.rows[0]
    assert (row.calls, row.waves) == (5, 2)
    assert row.graph.groups()[1][0].reads == ("0", "1", "2", "3")
    assert row.seconds <= row.sequential


@tw.flow
def slowly(text: str, m: int) -> int:
    found = []
    for i in range(0, len(text), m):
        steps = 0
        for _ in range(1_000_000):  # plain code that takes longer than a look at the threads
            steps += 1
        found.append(digits(text[i : i + m] + str(steps)))
    return sum(found)


def test_calls_that_plain_code_holds_up_still_wait_for_nothing(model: Any) -> None:
    with tw.using(model=model):
        row = analyze(slowly, {"text": text(100), "m": 25}).rows[0]
    assert (row.calls, row.waves) == (4, 1)


def test_a_model_that_cannot_count_is_refused() -> None:
    scripted = tw.models.ScriptedModel(lambda request: "1")
    with tw.using(model=scripted), pytest.raises(UnsupportedByBackend, match="tokens"):
        analyze(count, {"text": "1", "m": 1})


def test_prompt_tokens_fall_with_larger_parts_as_n_plus_system_times_n_over_m(model: Any) -> None:
    with tw.using(model=model):
        found = analyze(count, {"text": text(240)}, vary={"m": [10, 20, 40, 80, 240]})
        own = len(model.prompt_tokens(digits.request("")))
    tokens = [row.prompt for row in found.rows]
    assert tokens == sorted(tokens, reverse=True)
    for row in found.rows:
        parts = 240 / row.setting["m"]
        assert abs(row.prompt - own * parts - (tokens[-1] - own)) <= 0.25 * 240 + 2 * parts


def test_with_p_workers_and_linear_cost_parts_of_n_over_p_are_quickest(model: Any) -> None:
    sizes = [10, 20, 30, 60, 120, 240]
    with tw.using(model=model):
        found = analyze(count, {"text": text(240)}, vary={"m": sizes}, parallelism=4, cost=LINEAR, independent=True)
    # As if nothing were cached:
    times = {row.setting["m"]: row.graph.latency(lambda node: node.prompt * 1e-3, 4) for row in found.rows}
    assert min(times, key=lambda m: times[m]) == 60
    sequential = [row.graph.latency(lambda node: node.prompt * 1e-3, 1) for row in found.rows]
    assert sequential == sorted(sequential, reverse=True)


def test_a_quadratic_cost_has_its_optimum_where_the_part_equals_the_system() -> None:
    system, n = 60, 4800

    def total(m: int) -> float:
        return n / m * (system + m) ** 2

    assert min(range(5, 400), key=total) == system


def test_the_choice_under_a_bound_and_the_pareto_set(model: Any, tmp_path: Path) -> None:
    wrong = calibrated({10: 0.01, 40: 0.05, 240: 0.4})
    with tw.using(model=model):
        found = analyze(
            count, {"text": text(240)}, vary={"m": [10, 20, 40, 80, 240]}, prices=Prices(1.0, 4.0),
            error=lambda m: wrong(m),
        )  # fmt: skip
    best = found.pareto("cost", "error")
    for one in found.rows:
        beaten = any(o.cost <= one.cost and o.error <= one.error and o is not one for o in found.rows)
        assert (one in best) == (not beaten)
    assert found.best(max_error=0.05).setting["m"] == 40
    assert found.best(max_cost=found.rows[2].cost).setting["m"] == 40
    with pytest.raises(DataError):
        found.best(max_error=0.001)
    with tw.using(model=model), pytest.raises(DataError, match="error") as asked:
        analyze(count, {"text": "1"}, vary={"m": [1]}, prices=Prices(1, 1)).pareto()
    assert "error=" in asked.value.remedy
    assert found.plot(tmp_path / "a.png").stat().st_size > 5000
    assert "in a row" in str(found) and len(str(found).splitlines()) == 6


log: list[str] = []


@tw.flow
def noisy(text: str) -> int:
    log.append(text)
    return digits(text)


def test_a_program_with_effects_is_not_run_unasked(model: Any) -> None:
    with tw.using(model=model):
        with pytest.raises(FlowError, match="effects") as error:
            analyze(noisy, {"text": "1"})
        assert "run_effects" in error.value.remedy and not log
        assert analyze(noisy, {"text": "1"}, run_effects=True).rows[0].calls == 1 and log
        with pytest.raises(DataError, match="'n'"):
            analyze(count, {"text": "1"}, vary={"n": [1]})


def test_the_bounds_hold_in_every_trial() -> None:
    draw = random.Random(3)
    for _ in range(300):
        k = draw.randint(1, 9)
        truth = [draw.randint(0, 20) for _ in range(k)]
        said = [one + draw.randint(-3, 3) for one in truth]
        errors = [a - b for a, b in zip(said, truth, strict=True)]
        assert abs(sum(said) - sum(truth)) <= counting_bound(errors)
        parts = [sorted(draw.random() for _ in range(draw.randint(1, 6))) for _ in range(k)]
        wrong = [sorted(one + draw.uniform(-0.1, 0.1) for one in part) for part in parts]
        each = [max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in zip(parts, wrong, strict=True)]
        merged_true, merged_wrong = sorted(sum(parts, [])), sorted(sum(wrong, []))
        whole = max(abs(a - b) for a, b in zip(merged_true, merged_wrong, strict=True))
        assert whole <= merge_bound(each) + 1e-12
    assert counting_deviation([3.0, 4.0]) == 5.0


def test_retrieval_succeeds_as_often_as_the_formula_says() -> None:
    draw = random.Random(4)
    missed, invented, parts, trials = 0.2, 0.05, 8, 20_000
    right = sum(
        draw.random() > missed and all(draw.random() > invented for _ in range(parts - 1)) for _ in range(trials)
    )
    assert right / trials == pytest.approx(retrieval_success(missed, invented, parts), abs=0.015)


def test_merging_by_levels_adds_less_than_one_after_the_other() -> None:
    assert hierarchical_error(0.1, 0.02, 8) == pytest.approx(0.16)
    assert incremental_error(0.1, 0.02, 8) == pytest.approx(0.24)
    assert hierarchical_error(0.1, 0.02, 1) == incremental_error(0.1, 0.02, 1) == 0.1
