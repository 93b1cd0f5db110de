"""Metrics by name: what each counts as right, and what its feedback says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import SearchError
from thalweg.optimizing import Example, exact_match
from thalweg.optimizing.ready_metrics import METRICS, close, contains, f1, fields, metric_of


@dataclass
class Address:
    city: str
    number: int


@dataclass
class Order:
    item: str
    count: int
    to: Address = field(default_factory=lambda: Address("Ulm", 1))


@dataclass
class Refund:
    item: str
    count: int


def score(metric: Any, label: Any, output: Any) -> float:
    return float(metric(Example({}, label), output))


@pytest.mark.parametrize(
    ("name", "label", "output", "value"),
    [
        ("exact", "good", " good ", 1), ("exact", "3", 3, 1), ("exact", "good", "Good", 0),
        ("exact", {"item": "tea", "count": 2}, Refund("tea", 2), 1),
        ("exact", {"item": "tea", "count": 2}, Refund("tea", 3), 0),
        ("contains", "Paris", "It is  PARIS, of course.", 1), ("contains", "Paris", "It is Rome.", 0),
        ("contains", "", "anything", 0),
        ("f1", "the red house", "A red house!", 1), ("f1", "red house", "red", 2 / 3), ("f1", "red", "blue", 0),
        ("f1", "the", "a", 1), ("f1", "red", "", 0),
        ("close", 100, 100.9, 1), ("close", 100, 102, 0), ("close", "$1,200.50", "it costs 1200.5 dollars", 1),
        ("close", "none", 3, 0), ("close", 3, "none", 0), ("close", 0, 0.0, 1), ("close", -5, "-5", 1),
        ("fields", Refund("tea", 2), Refund("tea", 3), 1 / 2),
        ("fields", '{"a": 1, "b": [1, 2]}', {"a": 1, "b": [1]}, 1 / 2),
        ("fields", Order("tea", 2), Order("tea", 2, Address("Ulm", 2)), 3 / 4),
        ("fields", Order("tea", 2), Order("tea", 2), 1),
        ("fields", Refund("tea", 2), Order("tea", 2), 0), ("fields", {"a": 1}, "text", 0), ("fields", "x", "x", 1),
        ("fields", {"a": True}, {"a": 1}, 0),
    ],
)  # fmt: skip
def test_a_metric_counts_what_it_says(name: str, label: Any, output: Any, value: float) -> None:
    assert score(METRICS[name], label, output) == pytest.approx(value)


def test_feedback_says_what_is_wrong_and_is_empty_where_nothing_is() -> None:
    wrong = fields(Example({}, Order("tea", 2)), Order("tee", 2, Address("Bonn", 1)))
    assert wrong.feedback == "item was 'tee', right is 'tea'; to.city was 'Bonn', right is 'Ulm'"
    assert wrong.parts == {"item": 0.0, "count": 1.0, "to.city": 0.0, "to.number": 1.0}
    assert fields(Example({}, {"a": 1, "b": 2}), {"a": 1}).feedback == "b is missing"
    assert "of kind Order, right is Refund" in fields(Example({}, Refund("tea", 2)), Order("tea", 2)).feedback
    assert close(Example({}, 3), 4).feedback == "the answer was 4, right is 3"
    for metric in METRICS.values():
        assert metric(Example({}, "7"), "7").feedback == ""
        assert metric(Example({}, "7"), "8").feedback != ""


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    value = score(f1, one, other)
    assert 0 <= value <= 1
    assert value == score(f1, other, one)
    assert score(f1, one, one) == 1


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_is_close_to_itself_as_text_or_not(value: float) -> None:
    assert score(close, value, value) == score(close, repr(value), value) == score(close, value, repr(value)) == 1


def test_names_stand_for_metrics_and_others_pass() -> None:
    assert metric_of("exact") is exact_match
    assert metric_of(contains) is contains
    with pytest.raises(SearchError, match="contains, f1"):
        metric_of("accuracy")
