"""Weights fitted to examples make them more likely; without weights nothing changes; bad input is refused."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError
from thalweg.prompting.calibrated import Calibrated, calibrated, label_of


@tw.learned
def kind(text: str) -> Literal["animal", "plant", "food"]:
    """What is it?"""


def likelihood(made: Calibrated, tables: list[dict[str, float]], labels: list[str]) -> float:
    total = 0.0
    for table, label in zip(tables, labels, strict=True):
        logits = {one: made.scale * math.log(p) + dict(made.weights)[label_of(one)] for one, p in table.items()}
        total += logits[label] - math.log(sum(map(math.exp, logits.values())))
    return total


shares = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(
    lambda found: dict(zip(("a", "b", "c"), (one / sum(found) for one in found), strict=True))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(shares, st.sampled_from("abc")), min_size=3, max_size=30))
def test_fitted_weights_make_the_examples_no_less_likely(rows: list[tuple[dict[str, float], str]]) -> None:
    tables, labels = [one for one, _ in rows], [one for _, one in rows]
    made = calibrated(tables, labels)
    plain = Calibrated([(label_of(one), 0.0) for one in "abc"])
    slack = 0.02 * len(rows)  # what the ridge may cost
    assert likelihood(made, tables, labels) >= likelihood(plain, tables, labels) - slack


def test_a_taste_for_one_label_is_taken_out() -> None:
    tables = [{"a": 0.9, "b": 0.1}] * 10 + [{"a": 0.7, "b": 0.3}] * 10
    made = calibrated(tables, ["a"] * 10 + ["b"] * 10)
    weights = dict(made.weights)
    assert made.scale * math.log(0.7) + weights['"a"'] < made.scale * math.log(0.3) + weights['"b"']
    assert made.scale * math.log(0.9) + weights['"a"'] > made.scale * math.log(0.1) + weights['"b"']


def test_without_weights_answers_and_probabilities_are_the_functions_own(model, tmp_path) -> None:
    with tw.using(model=model, store=tmp_path):
        same = kind.using(strategy=Calibrated())
        for text in ("an oak", "a loaf"):
            own = kind.distribution(text)
            assert same.distribution(text) == pytest.approx(own)
            assert same(text) == max(own, key=own.__getitem__)


def test_a_weight_can_decide(model, tmp_path) -> None:
    with tw.using(model=model, store=tmp_path):
        assert kind.using(strategy=Calibrated([('"food"', 50.0)]))("an oak") == "food"


def test_labels_and_tables_must_fit() -> None:
    with pytest.raises(DataError, match="go together"):
        calibrated([], [])
    with pytest.raises(DataError, match="row 0"):
        calibrated([{"a": 1.0}], ["z"])
    with pytest.raises(ValueError, match="scale"):
        Calibrated(scale=0)
