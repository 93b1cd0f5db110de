"""Any input object has a readable text and a JSON form that is the same in every process."""

import enum
import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from thalweg.program.types import jsonable, render_value


class Color(enum.Enum):
    RED = "red"


@dataclass
class Order:
    number: str
    when: date


class Row(BaseModel):
    size: int


class Pair(NamedTuple):
    left: int
    right: str


class Plain:
    def __init__(self):
        self.size = 1
        self._hidden = 2


class Broken:
    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize(("value", "text", "form"), [
    ("as is\n", "as is\n", "as is\n"), (3, "3", 3), (0.5, "0.5", 0.5), (True, "true", True), (None, "null", None),
    (date(2024, 2, 29), "2024-02-29", "2024-02-29"), (datetime(2024, 1, 1, 2), "2024-01-01T02:00:00",
    "2024-01-01T02:00:00"),
    (Decimal("1.50"), "1.50", "1.50"), (Color.RED, "red", {"$type": "Color", "$value": "red"}),
    (Order("é", date(2024, 1, 1)), '{"number": "é", "when": "2024-01-01"}',
     {"$type": "Order", "number": "é", "when": "2024-01-01"}), (Row(size=1), '{"size": 1}', {"$type": "Row",
     "size": 1}),
    (Pair(1, "a"), '{"left": 1, "right": "a"}', {"$type": "Pair", "left": 1, "right": "a"}), ((1, "a"), '[1, "a"]',
    [1, "a"]),
    ({3, 1, 2}, "[1, 2, 3]", [1, 2, 3]), ({"a": [1]}, '{"a": [1]}', {"a": [1]}),
    ({1: "a"}, '{"1": "a"}', {"$pairs": [[1, "a"]]}), (b"\x00\xff", "<2 bytes>", {"$bytes": "AP8="}),
    (np.float64(0.5), "0.5", 0.5), (np.int64(3), "3", 3), (np.array([1, 2]), "[1, 2]", [1, 2]), (np.bool_(True),
    "true", True),
    (float("nan"), "nan", {"$float": "nan"}), (Plain(), '{"size": 1}', {"$type": "Plain", "size": 1}),
    (Broken(), "<Broken>", "<Broken>"), (len, "len", "len"), (range(3), "range(0, 3)", "range(0, 3)"),
])  # fmt: skip
def test_values_have_a_text_and_a_form(value, text, form):
    assert render_value(value) == text
    assert jsonable(value) == form
    json.dumps(jsonable(value), allow_nan=False)


def test_cycles_and_large_objects_stay_small():
    loop = [1]
    loop.append(loop)
    assert render_value(loop) == '[1, "..."]'
    assert len(render_value(np.zeros((100, 100)))) < 100
    assert len(render_value("x" * 10**5)) == 10**5


def test_unknown_objects_have_the_same_form_everywhere():
    assert jsonable(lambda: 1) == jsonable(lambda: 2) and " at 0x" not in str(jsonable(object()))


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(),
                    inner) | st.tuples(inner)
                    | st.frozensets(st.integers() | st.text())))  # fmt: skip
def test_every_form_is_json_and_every_text_is_text(value):
    json.dumps(jsonable(value), allow_nan=False)
    assert isinstance(render_value(value), str)
