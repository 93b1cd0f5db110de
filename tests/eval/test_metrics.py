import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.eval import (
    accuracy,
    brier,
    confusion,
    expected_calibration_error,
    labels_of,
    per_class,
    reliability_bins,
)
from thalweg.program.intervals import wilson_interval

labels = st.sampled_from(["spam", "ham", "other", None, 3])
pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=60)
claims = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def columns(rows):
    return [row[0] for row in rows], [row[1] for row in rows]


@given(st.lists(labels, min_size=1))
def test_accuracy_of_identical_labels_is_one(column):
    assert accuracy(column, list(column)) == 1.0


@given(pairs)
def test_accuracy_is_the_diagonal_of_the_confusion(rows):
    expected, got = columns(rows)
    counts = confusion(expected, got, labels_of(expected, got))
    assert counts.sum() == len(rows)
    assert accuracy(expected, got) == pytest.approx(np.trace(counts) / len(rows))


@given(pairs, st.randoms(use_true_random=False))
def test_agreement_does_not_depend_on_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert accuracy(*columns(rows)) == accuracy(*columns(shuffled))
    assert per_class(*columns(rows)) == per_class(*columns(shuffled))


@given(pairs)
def test_class_scores_are_shares_and_supports_add_up(rows):
    scores = per_class(*columns(rows))
    assert sum(score.support for score in scores) == len(rows)
    assert all(0 <= share <= 1 for score in scores for share in (score.precision, score.recall, score.f1))


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0, 10))
def test_wilson_interval_contains_the_share_and_stays_in_bounds(counts, z):
    k, n = counts
    low, high = wilson_interval(k, n, z)
    assert 0 <= low <= k / n <= high <= 1


@given(claims, st.integers(1, 30))
def test_calibration_error_is_a_share_and_bins_hold_every_row(rows, bins):
    parts = reliability_bins(*columns(rows), bins)
    assert sum(part.count for part in parts) == len(rows)
    assert 0 <= expected_calibration_error(*columns(rows), bins) <= 1
    assert 0 <= brier(*columns(rows)) <= 1


@given(claims, st.randoms(use_true_random=False))
def test_calibration_does_not_depend_on_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert reliability_bins(*columns(rows)) == reliability_bins(*columns(shuffled))
    assert expected_calibration_error(*columns(rows)) == expected_calibration_error(*columns(shuffled))
    assert brier(*columns(rows)) == brier(*columns(shuffled))


def test_known_agreement():
    expected = ["a", "a", "a", "b", "b", "c"]
    got = ["a", "a", "b", "b", "a", "b"]
    assert accuracy(expected, got) == 0.5
    assert confusion(expected, got, ["a", "b", "c"]).tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    a, b, c = per_class(expected, got)
    assert (a.label, a.precision, a.recall, a.f1, a.support) == ("a", 2 / 3, 2 / 3, 2 / 3, 3)
    assert (b.precision, b.recall, b.f1, b.support) == (1 / 3, 1 / 2, 2 / 5, 2)
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 1)


def test_known_wilson_intervals():
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_known_calibration():
    confidence, correct = [0.9, 0.9, 0.9, 0.9, 0.3, 0.3], [True, True, True, False, False, True]
    # 4/6 * |0.75 - 0.9| + 2/6 * |0.5 - 0.3|
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.1 + 0.2 / 3)
    assert brier([0.5, 0.5], [True, False]) == 0.25
    assert brier([1.0, 0.0], [True, False]) == expected_calibration_error([1.0, 0.0], [True, False]) == 0


def test_bins_are_open_below_and_closed_above():
    parts = reliability_bins([0.0, 0.25, 0.5, 0.75, 1.0], [1, 1, 1, 1, 0], bins=4)
    assert [part.count for part in parts] == [2, 1, 1, 1]
    assert parts[3].accuracy == 0 and parts[3].confidence == 1.0
    empty = reliability_bins([0.1], [True], bins=2)[1]
    assert (empty.count, empty.confidence, empty.accuracy) == (0, None, None)


def test_labels_of_mixed_types_have_one_order():
    assert labels_of(["b", 2, None], ["a", 1]) == [None, 1, 2, "a", "b"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy([], []),
        lambda: accuracy(["a"], []),
        lambda: confusion(["a"], ["b"], ["a"]),
        lambda: confusion(["a"], ["a"], ["a", "a"]),
        lambda: per_class([["a"]], [["a"]]),
        lambda: wilson_interval(0, 0),
        lambda: wilson_interval(3, 2),
        lambda: wilson_interval(1, 2, math.nan),
        lambda: brier([], []),
        lambda: brier([0.5], [True, False]),
        lambda: brier([50], [True]),
        lambda: brier([math.nan], [True]),
        lambda: brier([0.5], [2]),
        lambda: brier([[0.5]], [[True]]),
        lambda: brier(["high"], [True]),
        lambda: expected_calibration_error([0.5], [True], bins=0),
    ],
)
def test_bad_input_is_a_data_error(call):
    with pytest.raises(DataError):
        call()


def test_the_error_names_row_and_column():
    with pytest.raises(DataError, match="row 1") as caught:
        brier([0.5, 1.5], [True, True])
    assert (caught.value.row, caught.value.column) == (1, "confidence")
