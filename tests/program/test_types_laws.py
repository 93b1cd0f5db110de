"""Laws over random types: whatever the engine lets a model write is a value of the type, and comes back the same."""

# ruff: noqa: UP007, UP045 (users spell optional types both ways)

import contextlib
import dataclasses
import enum
import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Literal, Optional, Union

from annotated_types import Ge, Le, Len, MaxLen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model
from type_walk import accepts, conforms, random_member, seeded

from thalweg.errors import TypeNotSupported, UnsatisfiableConstraint
from thalweg.program.types import patterns, plan

LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
WORDS = st.text("abcxyzé \"'{}[]\\/,:0", max_size=5)


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


def bounded(kind, numbers):
    def build(pair):
        return Annotated[kind, Ge(min(pair)), Le(max(pair))]

    return st.tuples(numbers, numbers).map(build)


CENTS = st.integers(-20000, 20000).map(lambda n: n / 100)
SCALARS = st.one_of(
    st.sampled_from([bool, int, float, str, date, time, datetime, Decimal, Color, None]),
    st.lists(st.one_of(WORDS, st.integers(-5, 5), st.booleans(), st.none()), min_size=1, max_size=4).map(
        lambda values: Literal[tuple(values)]
    ),
    bounded(int, st.integers(-2000, 2000)),
    bounded(float, CENTS),
    bounded(Decimal, CENTS.map(lambda x: Decimal(str(x)))),
    bounded(date, st.dates()),
    st.tuples(st.integers(0, 3), st.integers(1, 4)).map(lambda p: Annotated[str, Len(p[0], p[0] + p[1])]),
)


def records(fields):
    def build(drawn):
        annotations, kind, label = drawn
        names = [f"f{index}" for index in range(len(annotations))]
        if kind == "model":
            return create_model(f"Model{label}", **{n: (a, ...) for n, a in zip(names, annotations, strict=True)})
        return dataclasses.make_dataclass(f"Data{label}", zip(names, annotations, strict=True), frozen=kind == "frozen")

    return st.tuples(
        st.lists(fields, max_size=4), st.sampled_from(["data", "frozen", "model"]), st.integers(0, 999)
    ).map(build)


def nested(inner):
    return st.one_of(
        records(inner),
        st.tuples(inner, st.integers(0, 2)).map(lambda p: Annotated[list[p[0]], Len(p[1], p[1] + 1)]),
        st.lists(inner, max_size=3).map(lambda items: tuple[tuple(items)] if items else tuple[()]),
        inner.map(lambda item: Annotated[dict[str, item], MaxLen(2)]),
        inner.map(lambda item: Optional[item]),
        st.lists(st.one_of(records(inner), inner), min_size=1, max_size=3).map(lambda items: Union[tuple(items)]),
    )


TYPES = st.recursive(SCALARS, nested, max_leaves=6)


@LAWS
@given(TYPES, st.integers(0, 10**6))
def test_members_decode_to_values_of_the_type_and_back(annotation, seed):
    try:
        made = plan(annotation)
    except TypeNotSupported as error:
        assert "one name" in str(error)
        return
    except UnsatisfiableConstraint:
        return
    assert accepts(made.format, made.minimal)
    for turn in range(3):
        text = random_member(made.format, seeded(seed, turn), steps=400, hurry=(0.1, 0.4, 0.7)[turn])
        value = made.decode(text)
        assert conforms(annotation, value), (text, value)
        again = made.encode(value)
        assert accepts(made.format, again), again
        assert made.decode(again) == value
        assert made.from_json(made.to_json(value)) == value
    values = made.values()
    if values is not None:
        assert len(set(made.format.choices)) == len(values)
        assert all(made.encode(v) == text for v, text in zip(values, made.format.choices, strict=True))


@LAWS
@given(st.floats(-1e12, 1e12).map(lambda x: round(x, 6)))
def test_floats_of_six_decimals_come_back_exactly(number):
    made = plan(float)
    text = made.encode(number)
    assert made.decode(text) == number and "e" not in text


@LAWS
@given(st.dates(), st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)), st.text(max_size=200))
def test_dates_and_texts_come_back(day, moment, text):
    assert plan(date).decode(plan(date).encode(day)) == day
    moment = moment.replace(microsecond=0)
    assert plan(datetime).decode(plan(datetime).encode(moment)) == moment
    text = re.sub("[\x00-\x1f\x7f]", "", text)
    made = plan(Optional[str])
    assert made.decode(made.encode(text)) == text and accepts(made.format, made.encode(text))


ATOMS = st.sampled_from(["a", "b", r"\d", r"\w", r"\s", ".", "[a-c]", "[^a]", "é", r"\.", r"[\w.-]", r"[^\W\d]",
'"', r"\\",
                         "/", r"[\s\S]", "[^\\x00-\\x7f]", "(?i:k)", "-"])  # fmt: skip
PATTERNS = st.recursive(ATOMS, lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map("".join),
    st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
    st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}",
    "*?"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
), max_leaves=5)  # fmt: skip


@LAWS
@given(PATTERNS, st.integers(0, 10**6))
def test_members_of_a_pattern_match_it_in_python(pattern, seed):
    inside, alone = plan(list[Annotated[str, Field(pattern=pattern)]]), None
    with contextlib.suppress(UnsatisfiableConstraint):  # only the empty text matches
        alone = plan(Annotated[str, Field(pattern=pattern)])
    for made in filter(None, (inside, alone)):
        assert accepts(made.format, made.minimal)
        value = made.decode(random_member(made.format, seeded(seed), steps=200, hurry=0.3))
        for text in value if isinstance(value, list) else [value]:
            assert re.fullmatch(pattern, text), (pattern, text)


@LAWS
@given(PATTERNS, st.integers(0, 5), st.integers(0, 9), st.integers(0, 10**6))
def test_lengths_and_patterns_hold_together(pattern, low, more, seed):
    sized = Annotated[str, Field(pattern=pattern, min_length=low, max_length=low + more)]
    for annotation in (list[sized], dict[sized, bool], sized):
        with contextlib.suppress(UnsatisfiableConstraint, TypeNotSupported):
            made = plan(annotation)
            assert accepts(made.format, made.minimal)
            value = made.decode(random_member(made.format, seeded(seed), steps=200, hurry=0.3))
            for text in [value] if isinstance(value, str) else value:
                assert re.fullmatch(pattern, text) and low <= len(text) <= low + more, (pattern, text)


@LAWS
@given(PATTERNS)
def test_spelled_patterns_match_what_python_matches(pattern):
    expr = patterns.parse(pattern)
    ours, theirs = re.compile(patterns.spell(expr, python=True)), re.compile(pattern)
    for text in (
        "",
        "a",
        "ab",
        "b.",
        "aa",
        "é",
        "k",
        "K",
        '"',
        "\\",
        "/",
        "-",
        "1",
        "_",
        "a1",
        "bcb",
        "..",
        " ",
        "\t\n",
    ):
        assert bool(ours.fullmatch(text)) == bool(theirs.fullmatch(text)), (pattern, ours.pattern, text)
