import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.eval import evaluation_report

EXPECTED = ["spam"] * 4 + ["ham"] * 6
GOT = ["spam", "spam", "spam", "ham"] + ["ham"] * 4 + ["spam", None]


def test_text_is_an_aligned_table():
    confidence = [0.9, 0.9, 0.8, 0.6] + [0.9] * 4 + [0.7, 0.0]
    assert evaluation_report(EXPECTED, GOT, confidence).text() == "\n".join(
        [
            "accuracy 0.700 [0.397, 0.892]  (7 of 10 right)",
            "",
            "label  precision  recall     f1  support",
            "None       0.000   0.000  0.000        0",
            "ham        0.800   0.667  0.727        6",
            "spam       0.750   0.750  0.750        4",
            "",
            "expected  got   rows",
            "ham       None     1",
            "ham       spam     1",
            "spam      ham      1",
            "",
            "confidence 0.750 on average, ECE 0.210, Brier 0.095",
        ]
    )


def test_mistakes_beyond_the_listed_are_counted():
    text = evaluation_report(EXPECTED, GOT).text(mistakes=1)
    assert text.endswith("and 2 more pairs (2 rows)")


def test_no_mistakes_and_no_confidence_leave_their_tables_out():
    report = evaluation_report(["a", "b"], ["a", "b"])
    assert report.mistakes == () and report.calibration is None
    assert "expected" not in report.text() and "confidence" not in report.text()


def test_labels_without_a_json_form_become_text():
    class Mood(enum.Enum):
        GOOD = 1
        BAD = 2

    data = json.loads(json.dumps(evaluation_report([Mood.GOOD, None], [Mood.BAD, None]).to_json()))
    assert [row["label"] for row in data["classes"]] == ["Mood.BAD", "Mood.GOOD", None]


@given(st.lists(st.tuples(st.text(), st.text(), st.floats(0, 1)), min_size=1, max_size=30))
def test_every_report_goes_through_json_and_has_no_line_ending_in_space(rows):
    expected, got, confidence = (list(column) for column in zip(*rows, strict=True))
    report = evaluation_report(expected, got, confidence)
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["right"] + sum(mistake["count"] for mistake in data["mistakes"]) == data["n"] == len(rows)
    assert all(line == line.rstrip() for line in report.text().split("\n"))


def test_no_rows_is_a_data_error():
    with pytest.raises(DataError, match="no rows"):
        evaluation_report([], [])
