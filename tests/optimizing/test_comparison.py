"""Comparisons: the interval and the test are what they are called, and `compare` says which rows were won."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError, SearchError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.optimizing import compared, estimate
from thalweg.optimizing.comparison import compare


@tw.learned
def parity(text: str) -> Literal["odd", "even"]:
    """Say whether the number is odd or even."""


ROWS = [{"text": f"{i}", "label": "odd" if i % 2 else "even"} for i in range(24)]


def script(request: Request) -> str:
    """Right for two of three, or for all numbers from 6 on when told to be exact."""
    number = int(request.messages[-1].content.rpartition(" ")[2])
    right = number >= 6 if "exact" in request.messages[0].content else number % 3 > 0
    return ("odd" if number % 2 else "even") if right else ("even" if number % 2 else "odd")


# -- scores -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_the_mean_and_equal_seeds_give_equal_ones(scores: list[float], seed: int) -> None:
    found = estimate(scores, seed=seed)
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert found == estimate(scores, seed=seed)
    assert min(scores) - 1e-9 <= found.low and found.high <= max(scores) + 1e-9


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(5)
    inside = 0
    for _ in range(150):
        found = estimate((draws.random(60) < 0.7).astype(float).tolist())
        inside += found.low <= 0.7 <= found.high
    assert inside >= 133  # 95 % of 150 is 142.5; 133 is more than three standard deviations below


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_sign_test_is_the_binomial_tail(won: int, lost: int) -> None:
    before = [0.0] * won + [1.0] * lost + [1.0]
    after = [1.0] * won + [0.0] * lost + [1.0]
    found = compared(before, after)
    n, k = won + lost, max(won, lost)
    tail = sum(math.comb(n, i) * 0.5**n for i in range(k, n + 1))
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert (found.won, found.lost) == (won, lost)


def test_pairing_sees_a_difference_that_hard_and_easy_rows_would_hide() -> None:
    before = [i / 100 for i in range(100)]
    found = compared(before, [one + 0.01 for one in before])
    assert found.significant
    assert found.before.high > found.after.low  # the single intervals overlap widely
    assert not compared(before, before).significant
    with pytest.raises(DataError, match="not of the same examples"):
        compared([1.0], [1.0, 0.0])


# -- programs ---------------------------------------------------------------------------------------------------------


def test_compare_says_which_rows_each_program_won(tmp_path: Path) -> None:
    exact = parity.with_instruction("Be exact.")
    with tw.using(model=ScriptedModel(script, identity="parity"), store=tmp_path):
        found = compare(parity, exact, ROWS, names=("plain", "exact"))
    assert found.won == [i for i in range(24) if i >= 6 and i % 3 == 0]
    assert found.lost == [i for i in range(6) if i % 3 > 0]
    assert found.comparison.after.mean == 18 / 24
    text = found.text(most=2)
    assert "6 won, 4 lost" in text and "no more than chance" in text and "and 4 more rows" in text
    made = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert made["rows"][6]["scores"] == [0.0, 1.0]
    page = found.html(tmp_path / "page.html").read_text()
    assert page.count("<tr>") == 2 + 6 + 4


def test_a_failing_row_counts_and_a_program_that_always_fails_is_an_error(tmp_path: Path) -> None:
    @tw.flow
    def careful(text: str) -> str:
        if text == "3":
            raise ValueError("three")
        return parity(text)

    @tw.flow
    def broken(text: str) -> str:
        raise ValueError("never")

    with tw.using(model=ScriptedModel(script, identity="parity"), store=tmp_path):
        found = compare(careful, parity, ROWS)
        assert "ValueError: three" in found.rows[0][3].error
        assert "1 failed" in found.text()
        with pytest.raises(SearchError, match="after fails on every one of 24 examples"):
            compare(parity, broken, ROWS)


def test_a_program_equals_itself_on_the_real_model(model: Any, tmp_path: Path) -> None:
    with tw.using(model=model, store=tmp_path):
        found = compare(parity, parity.with_instruction(parity.parameters.instruction), ROWS[:4], "contains")
    assert (found.won, found.lost, found.comparison.p) == ([], [], 1.0)
    assert [one.output for one in found.rows[0]] == [one.output for one in found.rows[1]]
    assert all(one.tokens > 0 for one in found.rows[0])
