"""From the name of a scalar type and its constraints to its node.

What: one function per scalar type, listed in `SCALARS`; Literal and Enum; and `name_of`, how a type is called in
messages. When: `reading.py` reaches a leaf of the annotation. Cost: microseconds; a pattern some hundred.
"""

from __future__ import annotations

import types
import typing
from datetime import date, datetime, time
from decimal import Context, Decimal, localcontext
from enum import Enum, Flag
from typing import Any, Literal

from thalweg.errors import TypeNotSupported, UnsatisfiableConstraint

from . import patterns
from .constraints import Constraints
from .engine import refusal
from .node import Node
from .scalars import Choice, Integer, enum_choice, float_node, inward
from .texts import Lexical, Text, date_node, datetime_node, decimal_node, time_node

NONE = Choice("None", [(None, None)])
BOOL = Choice("bool", [(True, True), (False, False)], "true or false")
ZERO = Decimal(0)
BIGGEST = 2**53 - 1  # the engine computes bounds in double precision


def name_of(annotation: Any) -> str:
    """Readable name without module paths."""
    args = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is typing.Annotated:
        return name_of(args[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(name_of, args))
    base = getattr(origin or annotation, "__name__", None) or str(annotation)
    inner = ", ".join("..." if arg is Ellipsis else name_of(arg) for arg in args if not isinstance(arg, list))
    return "None" if annotation in (None, types.NoneType) else f"{base}[{inner}]" if args else base


def literal(args: tuple[Any, ...], where: str) -> Choice:
    members: list[tuple[Any, Any]] = []
    for value in args:
        if isinstance(value, Enum):
            members += [pair for pair in enum_choice(type(value)).members if pair[0] is value]
        elif value is None or type(value) in (bool, int, str):
            members.append((value, value))
        else:
            raise TypeNotSupported(f"{where}: {value!r} in a Literal cannot be written.", "Use str, int, bool or None.")
    return _checked(Choice(name_of(Literal[args]) if args else "Literal[()]", members), where)


def enumeration(cls: type[Enum], where: str) -> Choice:
    if issubclass(cls, Flag):
        raise TypeNotSupported(f"{where}: {cls.__name__} is a Flag, whose values combine.", "Use set[SomeEnum].")
    return _checked(enum_choice(cls), where)


def _checked(choice: Choice, where: str) -> Choice:
    forms = [(type(form), form) for _, form in choice.members]
    if not forms or forms == [(str, ())]:
        raise UnsatisfiableConstraint(f"{where}: {choice.name} has no values.", "Give it at least one.")
    for _, form in forms:
        if isinstance(form, str) and any(c == "\x7f" or "\ud800" <= c <= "\udfff" for c in form):
            raise TypeNotSupported(f"{where}: {form!r} has a character that cannot be written.", "Leave it out.")
        if isinstance(form, int) and abs(form) > 2**63 - 1:
            raise TypeNotSupported(f"{where}: {form} does not fit 64 bits.", "Write it as a str.")
    if len(set(forms)) < len(forms):
        raise TypeNotSupported(f"{where}: two members of {choice.name} are written alike.", "Rename one of them.")
    return choice


def _integer(where: str, given: Constraints) -> Integer:
    low, high = given.integers()
    low, high = low if low is None or low > -BIGGEST else -BIGGEST, high if high is None or high < BIGGEST else BIGGEST
    if (low or 0) > BIGGEST - 10**13 or (high or 0) < 10**13 - BIGGEST:
        raise TypeNotSupported(f"{where}: its bounds are beyond {BIGGEST}.", "Use smaller bounds, or str.")
    return Integer(low, high)


def _float(where: str, given: Constraints) -> Node:
    low, high, low_open, high_open = given.bounds()
    if (low or 0) > BIGGEST or (high or 0) < -BIGGEST:
        raise TypeNotSupported(f"{where}: its bounds are beyond {BIGGEST}.", "Use smaller bounds, or another unit.")
    low = None if low is None else max(low, Decimal(-BIGGEST))
    high = None if high is None else min(high, Decimal(BIGGEST))
    with localcontext(Context(prec=100)):
        node = float_node(low, high, low_open, high_open)
    if node is None:
        raise given.empty("no number of at most 9 decimals lies between its bounds")
    return node


def _decimal(where: str, given: Constraints) -> Lexical:
    low, high, low_open, high_open = given.bounds()
    places, whole = given.digits()
    if places + whole > 40 or max(abs(low or ZERO), abs(high or ZERO)) > 10**40:
        raise TypeNotSupported(f"{where}: it has more than 40 digits.", "Use smaller bounds, or str.")
    with localcontext(Context(prec=200)):
        least, most = inward(low, high, low_open, high_open, places)
        limit = Decimal(10**whole) - Decimal(1).scaleb(-places)
        if given.has_digits:
            least = -limit if least is None else max(-limit, least)
            most = limit if most is None else min(limit, most)
        if least is not None and most is not None and least > most:
            raise given.empty(f"no number of at most {places} decimals lies between its bounds")
        return decimal_node(least, most, places, whole)


def _date(where: str, given: Constraints) -> Lexical:
    low, high = given.dates()
    words = "date as YYYY-MM-DD"
    words += f", from {low}" if low else ""
    words += f", {'to' if low else 'up to'} {high}" if high else ""
    return date_node(low or date.min, high or date.max, words)


def _text(where: str, given: Constraints) -> Text:
    low, high, source, flags = given.text()
    if source is None:
        return Text(low, high, None)
    try:
        expr = patterns.parse(source, flags)
    except patterns.NotRegular as error:
        if error.impossible:
            raise given.empty(f"nothing matches the pattern {source!r}") from None
        raise TypeNotSupported(
            f"{where}: the pattern {source!r} cannot be used: {error}.",
            "Use literals, classes, groups, alternatives and repeats.",
        ) from None
    least, most = patterns.width(expr)
    if (high is not None and least > high) or (most is not None and most < low):
        raise given.empty(f"the pattern {source!r} matches no text of such a length")
    node = Text(low, high, expr, source)
    if (node.short or node.long) and "Unable" in refusal(schema=node.schema()):  # too large to intersect
        node = Text(low, high, expr, source, joined=True)
        if node.inside is None:
            raise TypeNotSupported(
                f"{where}: the pattern {source!r} and its lengths cannot be joined into one.",
                "Write the lengths into the pattern, as in [a-z]{3,8}.",
            )
    if node.inside is None or patterns.sample(node.inside, low, node.longest if node.long else None) is None:
        raise given.empty(f"no text of such a length was found for the pattern {source!r}")
    return node


SCALARS: dict[Any, Any] = {
    bool: lambda where, given: BOOL,
    int: _integer,
    float: _float,
    str: _text,
    Decimal: _decimal,
    date: _date,
    time: lambda where, given: time_node(),
    datetime: lambda where, given: datetime_node(),
}
