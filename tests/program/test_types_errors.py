"""What has no text form, or no value, is refused when it is compiled, by name and with a remedy."""

# ruff: noqa: UP007, UP045 (users spell optional types both ways)

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypedDict, TypeVar

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen, MultipleOf, Predicate
from pydantic import AfterValidator, BaseModel, Field, RootModel, StringConstraints
from type_walk import conforms, random_member, seeded

from thalweg.errors import DataError, Error, TypeNotSupported, UnsatisfiableConstraint
from thalweg.program.types import plan

T = TypeVar("T")


class Nothing(enum.Enum):
    pass


class Alike(enum.Enum):
    A = 1.5
    B = "A"


class Bits(enum.Flag):
    A = 1


@dataclass
class Endless:
    inner: Endless


@dataclass
class Ping:
    pong: Pong


@dataclass
class Pong:
    ping: Annotated[list[Ping], MinLen(1)]


@dataclass
class Inner:
    size: Any


@dataclass
class Outer:
    parts: list[Inner]


@dataclass
class Mutable:
    x: int


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class Needs:
    x: int
    seed: InitVar[int]


class Rooted(RootModel[int]):
    pass


class Lost(TypedDict):
    where: Atlantis  # noqa: F821


class Tags(TypedDict):
    type: int


Reserved = TypedDict("Reserved", {"type": str, "kind": str, "$type": str})


def same_name():
    @dataclass
    class Mutable:
        y: int

    return Mutable


NOT_SUPPORTED = [
    (Any, "text form"), (object, "text form"), (bytes, "text form"), (complex, "text form"), (list, "list"), (dict,
    "dict"), (Callable[[int], int], "text form"),
    (list[Any], r"\[\]"), (Outer, r"parts\[\].size"), (dict[int, str], "keys"), (dict[float, str], "keys"),
    (Annotated[set[int], MinLen(2)], "set"), (Annotated[dict[str, int], MinLen(2)], "dict"), (set[list[int]], "set"),
    (set[Mutable], "set"), (Bits, "Flag"), (Alike, "alike"), (Endless, "Endless"), (Ping, "Ping"), (Box, "T"),
    (Box[Any], "content"), (Needs, "seed"), (Rooted, "RootModel"), (Lost, "Lost"), ("int", "text form"),
    (list[typing.ForwardRef("Nowhere")], r"\[\]"),
    (Annotated[int, MultipleOf(3)], "multiple_of"), (Annotated[int, Field(multiple_of=2)], "multiple_of"),
    (Annotated[int, MaxLen(3)], "max_length"), (Annotated[str, Ge(3)], "ge"), (Annotated[bool, Ge(0)], "ge"),
    (Annotated[list[int], Ge(3)], "ge"), (Annotated[datetime, Ge(datetime(2020, 1, 1))], "ge"),
    (Annotated[int, Predicate(str.isdigit)], "guaranteed"), (Annotated[int, AfterValidator(abs)], "guaranteed"),
    (Annotated[str, StringConstraints(to_lower=True)], "to_lower"), (Annotated[int, Ge(date(2020, 1, 1))], "ge"),
    (Annotated[int | str, Ge(0)], "ge"), (Annotated[int, Ge(2**60)], "bounds"), (Annotated[float, Ge(1e300)],
    "bounds"),
    (Annotated[str, Field(pattern=r"(?=a)b")], "look-around"), (Annotated[str, Field(pattern=r"(a)\1")],
    "back reference"),
    (Annotated[str, Field(pattern=r"a\bb")], "boundary"), (Annotated[str, Field(pattern=r"(?>a)b")], "atomic"),
    (Annotated[str, Field(pattern=r"a|b", min_length=1, max_length=1), Field(pattern="c")], "two patterns"),
    (Annotated[str, Field(pattern=r"[a-z]*-[a-z]*", min_length=5)], "joined"), (Literal["a\x7f"], "character"),
    (Mutable | same_name(), "one name"), (Reserved | Tags, "type, kind"), (Literal[2**70], "64 bits"),
    (NamedTuple("Loose", [("x", Any)]), "x"), (tuple[int, Any], r"\[1\]"), (type, "text form"), (typing.Hashable,
    "text form"),
]  # fmt: skip

UNSATISFIABLE = [
    (Annotated[int, Ge(3), Le(2)], "between"), (Annotated[int, Gt(1), Lt(2)], "between"), (Nothing, "no values"),
    (Annotated[float, Gt(1), Lt(1)], "between"), (Annotated[float, Gt(0), Lt(1e-12)], "between"),
    (Annotated[Decimal, Gt(0), Lt(Decimal("1e-9"))], "between"), (Annotated[str, Len(3, 2)], "at least 3"),
    (Annotated[list[int], Len(3, 2)], "at least 3"), (Annotated[date, Ge(date(2020, 1, 2)), Le(date(2020, 1, 1))],
    "date"),
    (Annotated[date, Gt(date.max)], "date"), (Annotated[str, Field(pattern=r"\x00+")], "pattern"),
    (Annotated[str, Field(pattern="a{5}", max_length=3)], "length"), (Annotated[str, Field(pattern="a?",
    min_length=3)],
                                                                      "length"),
    (Annotated[str, MaxLen(0)], "at least one"), (Annotated[float, Gt(float("inf"))], "infinity"),
    (Literal[()], "no values"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "said"), NOT_SUPPORTED, ids=lambda part: str(part)[:40])
def test_unsupported_types_say_where_and_what_to_do(annotation, said):
    with pytest.raises(TypeNotSupported, match=said) as caught:
        plan(annotation, name="read.return")
    assert str(caught.value).startswith("read.return") and caught.value.remedy.endswith(".")


@pytest.mark.parametrize(("annotation", "said"), UNSATISFIABLE, ids=lambda part: str(part)[:40])
def test_types_without_values_say_so(annotation, said):
    with pytest.raises(UnsatisfiableConstraint, match=said) as caught:
        plan(annotation, name="read.return")
    assert str(caught.value).startswith("read.return")


@pytest.mark.parametrize("annotation", [Any, Annotated[int, Ge(3), Le(2)], Annotated[str, Field(pattern=r"(?=a)b")]])
def test_the_field_is_named(annotation):
    @dataclass
    class Ticket:
        fine: int
        order: list[annotation | None]  # type: ignore[valid-type]

    Ticket.__annotations__["order"] = list[annotation | None]
    with pytest.raises(Error, match=r"^triage: ?.*|^triage\.order\[\]") as caught:
        plan(Ticket, name="triage")
    assert "triage.order[]" in str(caught.value)


class Model(BaseModel):
    size: int = Field(ge=0, le=10)


@pytest.mark.parametrize(("annotation", "value"), [
    (int, True), (int, 1.0), (int, "1"), (int, 10**13), (float, float("nan")), (float, float("inf")), (float, "1"),
    (float, True), (float, 1.23456e-5), (str, 1), (str, ""), (str, "\x00"), (str, "x" * 1001), (str, "\ud800"),
    (bool, 1),
    (Literal["a"], "b"), (Literal[1], True), (Literal["a"], []), (date, datetime(2020, 1, 1)), (date, "2020-01-01"),
    (datetime, datetime(2020, 1, 1, 0, 0, 0, 5)), (datetime, datetime(2020, 1, 1, tzinfo=UTC)),
    (datetime, datetime(1850, 1, 1)), (Decimal, Decimal("NaN")), (Decimal, Decimal("1e20")), (Decimal, 1.5),
    (list[int], (1,)), (list[int], [1] * 11), (list[int], ["a"]), (tuple[int, str], (1,)), (dict[str, int], {1: 1}),
    (Mutable, Mutable("x")), (Mutable, {"x": 1}), (Mutable | None, 3), (Tags, {"type": 1, "more": 2}), (Tags, {}),
    (Annotated[int, Ge(0), Le(5)], 6), (Optional[str], "a\nb"), (set[int], [1]), (None, 0),
])  # fmt: skip
def test_values_which_are_not_of_the_type_are_refused(annotation, value):
    made = plan(annotation)
    with pytest.raises(DataError) as caught:
        made.encode(value)
    assert caught.value.remedy


@pytest.mark.parametrize(("annotation", "text"), [
    (int, "one"), (int, "99999999999999"), (bool, "yes"), (Mutable, "{}"), (Mutable, '{"x": 1, "y": 2}'), (Mutable,
    "[1]"),
    (Mutable, '{"x": 1'), (date, "20240229"), (date, "2023-02-29"), (Decimal, "NaN"), (Mutable | Model,
    '{"type": []}'),
    (list[int], "[" * 100000), (int, "9" * 5000), (str, ""), (dict[str, int], '{"a": "b"}'), (float, "NaN"),
])  # fmt: skip
def test_texts_which_are_no_members_are_refused(annotation, text):
    with pytest.raises(DataError):
        plan(annotation).decode(text)


def test_errors_name_the_place_of_a_value():
    @dataclass
    class Many:
        items: list[Mutable]

    Many.__annotations__["items"] = list[Mutable]
    with pytest.raises(DataError, match=r"Many, at items\[1\]\.x"):
        plan(Many).encode(Many([Mutable(1), Mutable("y")]))  # type: ignore[arg-type]


def test_annotations_as_strings_resolve_for_local_classes():
    @dataclass
    class Leaf:
        size: Annotated[int, Ge(0)]

    @dataclass
    class Branch:
        leaves: list[Leaf]
        more: Branch | None

    class Row(TypedDict):
        branch: Branch
        note: typing.NotRequired[Literal["x"]]

    made = plan(Row)
    for seed in range(10):
        value = made.decode(random_member(made.format, seeded(seed), steps=300))
        assert isinstance(value["branch"], Branch)
        assert all(conforms(int, leaf.size) and leaf.size >= 0 for leaf in value["branch"].leaves)


def test_long_texts_are_possible_when_asked_for():
    made = plan(Annotated[str, MaxLen(5000)])
    assert made.format.kind == "text" and made.format.max_chars == 5000
    assert made.decode(made.encode("x" * 5000)) == "x" * 5000
    assert made.from_json(made.to_json("a\n" * 2500)) == "a\n" * 2500
