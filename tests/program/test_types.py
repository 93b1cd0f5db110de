"""Every text of a compiled type decodes to a value of the type, and every value's text is in the type's format."""

# ruff: noqa: UP007, UP045 (users spell optional types both ways)

import enum
import json
import time as clock
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen
from pydantic import BaseModel, Field
from type_walk import accepts, conforms, random_member, seeded

from thalweg.errors import DataError, UnsatisfiableConstraint
from thalweg.program.types import plan

T = TypeVar("T")
Stars = NewType("Stars", int)


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    MIXED = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


@dataclass(frozen=True)
class Refund:
    order: str


@dataclass
class Complaint:
    """Somebody is unhappy."""

    topic: Literal["delivery", "quality", "staff"]
    severity: Annotated[int, Field(ge=1, le=5, description="how bad it is")]


@dataclass
class Other:
    summary: str = field(default="", metadata={"description": "one sentence"})


@dataclass
class Animal:
    type: str
    kind: Literal["cat"] = "cat"


@dataclass(kw_only=True)
class Point:
    x: Annotated[float, Ge(-1), Le(1)]
    y: Annotated[float, Gt(0), Lt(0.5)]


@dataclass
class Tree:
    value: int
    children: "list[Tree]"


@dataclass
class Node:
    name: Annotated[str, MaxLen(3)]
    next: "Node | None" = None


@dataclass
class Num:
    value: Annotated[int, Ge(0), Lt(1000)]


@dataclass
class Add:
    left: "Num | Add | Mul"
    right: "Num | Add | Mul"


@dataclass
class Mul:
    factors: "Annotated[list[Num | Add | Mul], Len(1, 3)]"


@dataclass
class Box(Generic[T]):
    content: T
    label: Annotated[str, MaxLen(4)]


@dataclass
class Empty:
    pass


@dataclass
class Flags:
    a: bool
    b: Literal[1, 2, 3]
    c: Color | None


class Movie(TypedDict):
    title: str
    year: NotRequired[Annotated[int, Ge(1900), Le(2030)]]


class Pair(NamedTuple):
    left: int
    right: Literal["a", "b"]


class Person(BaseModel):
    """A human."""

    name: str = Field(min_length=1, max_length=5, description="first name")
    born: date
    code: str = Field(pattern=r"[A-Z]{2}-\d+", max_length=9, alias="Code")
    tags: list[str] = Field(default=[], max_length=2)
    age: int | None = Field(default=None, ge=0, lt=150)


ORDERED = Annotated[str, Field(pattern=r"(?i)ord(er)?[-_ ]\w{2,4}")]

TYPES = [
    bool, int, float, str, None, Decimal, date, time, datetime, Color, Level, Stars,
    Literal["spam", "ham", "a b", 'say "hi"', "é"], Literal[1, "1", True, None], Literal["", "x\ny"],
    Literal[Color.RED],
    Literal["null"] | None, Optional[Literal["yes", "no"]], Optional[str], Optional[int], Optional[date],
    Annotated[int, Ge(1), Le(5)], Annotated[int, Gt(-7.5), Lt(7)], Annotated[int, Ge(10**13)], Annotated[int, Le(-1)],
    Annotated[int, Field(ge=-1000, le=1000)], Annotated[float, Ge(0), Le(1)], Annotated[float, Gt(-0.25), Le(0)],
    Annotated[float, Gt(0), Lt(0.001)], Annotated[float, Ge(-3.5), Le(-1.25)], Annotated[float, Ge(2), Le(2)],
    Annotated[Decimal, Ge(Decimal("0.5")), Le(Decimal("12.25"))], Annotated[Decimal, Field(max_digits=5,
    decimal_places=2)],
    Annotated[Decimal, Gt(-2), Lt(2), Field(decimal_places=1)], Annotated[date, Ge(date(2023, 12, 30)),
    Lt(date(2024, 3, 2))],
    Annotated[str, MinLen(3), MaxLen(6)], Annotated[str, Field(pattern=r"[a-z]+@[a-z]+\.(com|org)")], ORDERED,
    Annotated[str, Field(pattern=r"^[^\W\d_]{1,4}$")], Annotated[str, Field(pattern=r"a*b?", min_length=2,
    max_length=4)]
    | None, Annotated[str, MaxLen(5), "a dictionary definition"],
    list[int], list[Annotated[str, Field(pattern=r"[\s\S]{0,5}")]], Annotated[list[bool], Len(2, 4)], list[list[bool]],
    set[int], frozenset[Color], Annotated[set[Literal["a", "b"]], MinLen(1)], set[Refund], tuple[int, str, bool],
    tuple[bool, Color], tuple[()], tuple[date, ...], Annotated[tuple[float, ...], MaxLen(3)],
    dict[str, int], dict[Literal["a", 'b"c'], float], Annotated[dict[Annotated[str, Field(pattern="[a-z]{1,3}")],
    bool],
                                                               Len(1, 2)], dict[Color, list[int]],
    Refund, Complaint, Other, Empty, Flags, Point, Movie, Pair, Person, Tree, Node, Add, Box[int], Box[Box[str]],
    Animal,
    Refund | Complaint | Other, Refund | None, Refund | int | None, Animal | Refund, Empty | Refund,
    Movie | Pair | Person,
    Num | Add | Mul, list[Refund | Complaint], tuple[Refund | Other, int | None], int | str, float | int,
    int | float | None,
    bool | int | str, date | str, list[int] | str, Color | int | None, Annotated[int | None, Ge(0), Le(3)],
    list[Annotated[str, Field(pattern=r"(?:\w\w)+", min_length=3, max_length=9)]],
    Annotated[int, Ge(1), Le(3)] | Literal["many"], list[Movie], dict[str, Refund | None],
]  # fmt: skip
NAMES = [
    f"{index}-{str(annotation).replace('typing.', '').replace('test_types.', '')[:40]}"
    for index, annotation in enumerate(TYPES)
]


@pytest.fixture(params=TYPES, ids=NAMES)
def annotation(request):
    return request.param


def test_every_text_of_the_format_decodes_to_a_value_of_the_type(annotation):
    made = plan(annotation)
    for seed in range(12):
        text = random_member(made.format, seeded(seed, str(annotation)), steps=600, hurry=(0.05, 0.3, 0.7)[seed % 3])
        value = made.decode(text)
        assert conforms(annotation, value), (text, value)
        again = made.encode(value)
        assert made.decode(again) == value
        assert accepts(made.format, again), again
        form = made.to_json(value)
        assert made.from_json(json.loads(json.dumps(form))) == value


def test_the_minimal_text_is_a_member(annotation):
    made = plan(annotation)
    assert accepts(made.format, made.minimal), made.minimal
    assert conforms(annotation, made.decode(made.minimal))


def test_finite_types_list_their_values(annotation):
    made = plan(annotation)
    values = made.values()
    assert (values is None) == (made.format.kind != "choices")
    if values is not None:
        assert len(set(made.format.choices)) == len(values) <= 512
        for value, text in zip(values, made.format.choices, strict=True):
            assert text and made.encode(value) == text
            decoded = made.decode(text)
            assert decoded == value and type(decoded) is type(value)


def test_a_plan_is_cached_described_and_has_a_stable_digest(annotation):
    made = plan(annotation)
    assert plan(annotation) is made
    assert made.describe() and "thalweg" not in made.describe()
    assert len(made.digest) == 24
    assert made.format.kind != "json" or json.loads(made.format.schema) == made.json_schema


def test_digests_differ(annotation):
    others = [other for other in TYPES if other is not annotation and Stars not in (annotation, other)]
    assert plan(annotation).digest not in {plan(other).digest for other in others}


@pytest.mark.parametrize(("annotation", "value", "text"), [
    (bool, True, "true"), (int, -42, "-42"), (float, 3.0, "3"), (float, 1 / 3, "0.333333"), (float, -0.0, "0"),
    (float, 1e-6, "0.000001"), (float, 1e12, "1000000000000"), (str, "two\nlines", "two\nlines"), (None, None, "null"),
    (date, date(2024, 2, 29), "2024-02-29"), (Decimal, Decimal("1.50"), "1.50"), (Decimal, Decimal("1E+3"), "1000"),
    (datetime, datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"), (time, time(23, 59), "23:59:00"),
    (Color, Color.MIXED, "MIXED"), (Level, Level.HIGH, "10"), (Literal[1, "1"], "1", '"1"'),
    (Optional[Literal["spam"]], None, "null"), (Optional[Literal["spam"]], "spam", "spam"),
    (Literal["null"] | None, "null", '"null"'), (int | str, "7", '"7"'), (Optional[date], date(2024, 1, 1),
    '"2024-01-01"'),
    (Refund, Refund("é"), '{"order": "é"}'), (Refund | None, None, "null"), (set[int], {3, 1}, "[1, 3]"),
    (Refund | Other, Refund("8812"), '{"type": "Refund", "order": "8812"}'),
    (Animal | Refund, Refund("8812"), '{"$type": "Refund", "order": "8812"}'),
    (Box[int] | Box[str], Box("a", "b"), '{"type": "Box[str]", "content": "a", "label": "b"}'),
    (tuple[int, str], (1, 'a"b'), '[1, "a\\"b"]'), (dict[str, bool], {"a b": True}, '{"a b": true}'),
    (Movie, {"title": "M"}, '{"title": "M"}'), (Pair, Pair(1, "a"), '{"left": 1, "right": "a"}'),
])  # fmt: skip
def test_canonical_texts(annotation, value, text):
    made = plan(annotation)
    assert made.encode(value) == text
    assert accepts(made.format, text)


@pytest.mark.parametrize(("annotation", "texts"), [
    (date, ["2023-02-29", "1900-02-29", "2024-13-01", "0000-01-01", "2024-2-9"]), (time, ["24:00:00", "1:00:00"]),
    (int, ["-0", "01", "1.0", "1e3", "+1", ""]), (float, ["-0", "01", "1e3", "NaN", "1.", ".5", "0.1234567"]),
    (Annotated[float, Gt(-0.25), Le(0)], ["-0", "-0.25", "0.1", "-0.00"]), (Decimal, ["-0", "1e3", "00", "1.1234567"]),
    (str, ["", "\x07", "x" * 1001]), (Optional[str], ['"\\n"', '"' + "x" * 201 + '"']),
    (list[int], ["[1,2]", "[1, ]"]),
    (Refund, ['{"type": "Refund", "order": ""}', '{"order": 1}', "{}"]), (tuple[int, str], ["[1]", '["a", 1]']),
])  # fmt: skip
def test_what_is_no_member_is_not_accepted(annotation, texts):
    made = plan(annotation)
    for text in texts:
        assert not accepts(made.format, text), text


def test_unions_decode_to_the_first_member_that_fits():
    assert plan(date | str).decode('"2024-01-01"') == date(2024, 1, 1)
    assert plan(str | date).decode('"2024-01-01"') == "2024-01-01"
    assert type(plan(float | int).decode("3")) is float and type(plan(int | float).decode("3")) is int
    assert plan(bool | int).decode("1") == 1 and plan(bool | int).decode("1") is not True
    assert plan(int | str).format != plan(str | int).format


def test_sets_collapse_duplicates():
    assert plan(set[int]).decode("[1, 1, 2]") == {1, 2}


def test_recursive_classes_end_at_a_fixed_depth():
    deep = Node("e")
    for _ in range(4):
        deep = Node("x", deep)
    assert accepts(plan(Node).format, plan(Node).encode(deep))
    with pytest.raises(DataError, match="next.next.next.next.next"):
        plan(Node).encode(Node("x", deep))


def test_decoded_structures_are_not_shared():
    made = plan(Flags)
    assert made.decode(made.format.choices[0]) is not made.decode(made.format.choices[0])


def test_descriptions_reach_the_prompt():
    text = plan(Refund | Complaint | Other).describe()
    assert '{"type": "Refund", "order": text}' in text
    assert "severity: how bad it is" in text and "summary: one sentence" in text
    assert "Complaint: Somebody is unhappy." in text
    assert plan(Literal["spam", "ham"]).describe() == "one of: spam, ham"
    assert plan(Annotated[str, "a dictionary definition"]).describe() == "a dictionary definition"
    assert plan(list[Annotated[str, "a name"]]).describe() == "JSON like [a name, ...]"
    assert plan(Annotated[int, Ge(0), Le(10**6)]).describe() == "a whole number from 0 to 1000000"


def test_scalars_and_dataclasses_are_fast():
    four = plan(Quick)
    value = Quick(1, "text", 0.5, True)
    text = four.encode(value)
    for call, micros in (
        (lambda: plan(int).encode(5), 20),
        (lambda: plan(int).decode("5"), 20),
        (lambda: four.encode(value), 50),
        (lambda: four.decode(text), 50),
    ):
        best = min(_seconds(call) for _ in range(5))
        assert best / 500 * 1e6 < micros


@dataclass
class Quick:
    a: int
    b: str
    c: float
    d: bool


def _seconds(call):
    start = clock.perf_counter()
    for _ in range(500):
        call()
    return clock.perf_counter() - start


class Picky(BaseModel):
    size: int
    word: Literal["a", "b"]

    def model_post_init(self, context):
        if self.size == 13:
            raise ValueError("unlucky")


@dataclass
class Odd:
    number: Annotated[int, Ge(0), Le(9)]

    def __post_init__(self):
        if self.number % 2 == 0:
            raise ValueError("even")


def test_validators_may_refuse_with_a_clear_error():
    assert plan(Picky).decode('{"size": 1, "word": "a"}') == Picky(size=1, word="a")
    with pytest.raises(UnsatisfiableConstraint, match="Picky.*unlucky"):
        plan(Picky).decode('{"size": 13, "word": "a"}')
    with pytest.raises(UnsatisfiableConstraint, match=r"\[0\]"):
        plan(list[Picky]).decode('[{"size": 13, "word": "a"}]')


def test_finite_types_list_only_what_the_class_allows():
    assert [odd.number for odd in plan(Odd).values()] == [1, 3, 5, 7, 9]
