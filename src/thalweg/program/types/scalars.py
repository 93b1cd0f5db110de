"""Types written as one word or number: bool, int, float, Literal, Enum, None.

What: one node class per form, each with its exact set of texts. When: leaves of every type (`texts.py` holds strings,
dates and decimals). Cost: `dump` and `load` are one type test and one range or table look-up, under a microsecond.
"""

from __future__ import annotations

import operator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from numbers import Integral
from typing import Any

from . import patterns
from .node import MAX_INTEGER, PLACES, Mismatch, Node, Schema, quote, show


class Choice(Node):
    """A fixed list of values, each with its JSON form (bool, None, Literal, Enum)."""

    bare = True

    def __init__(self, name: str, members: list[tuple[Any, Any]], words: str = "") -> None:
        self.name = name
        self.members = members
        self.words = words
        self._forms = {(type(value), value): form for value, form in members}
        self._texts = {key: quote(f) if isinstance(f, str) else _json(f) for key, f in self._forms.items()}
        self._values = {(type(form), form): value for value, form in members}

    def schema(self) -> Schema:
        forms = [form for _, form in self.members]
        if forms == [None]:
            return {"type": "null"}
        if all(type(form) is bool for form in forms) and len(forms) == 2:
            return {"type": "boolean"}
        return {"enum": forms}

    def _look(self, table: dict, value: Any) -> Any:
        try:
            return table[type(value), value]
        except (KeyError, TypeError):
            raise Mismatch(f"{show(value)} is not {self.sketch()}") from None

    def dump(self, value: Any) -> str:
        return self._look(self._texts, value)

    def pack(self, value: Any) -> Any:
        return self._look(self._forms, value)

    def load(self, item: Any) -> Any:
        return self._look(self._values, item)

    def values(self, limit: int) -> list[Any] | None:
        return [value for value, _ in self.members] if len(self.members) <= limit else None

    def minimal(self) -> str:
        return min(self._texts.values(), key=len)

    def sketch(self, seen: set[str] | None = None) -> str:
        return self.words or " or ".join(self._texts.values())

    def shape(self) -> str:
        return self.name

    def key_pattern(self) -> str | None:
        forms = [form for _, form in self.members]
        if not all(isinstance(form, str) for form in forms):
            return None
        return "|".join(patterns.spell(patterns.literal(form)) for form in forms)


def _json(form: bool | int | None) -> str:
    return "null" if form is None else str(form).lower() if isinstance(form, bool) else str(form)


class Integer(Node):
    bare = True

    def __init__(self, low: int | None, high: int | None) -> None:
        self.words = between("whole number", low, high)
        self.low = low if low is not None else min(-MAX_INTEGER, -MAX_INTEGER if high is None else high - MAX_INTEGER)
        self.high = high if high is not None else max(MAX_INTEGER, self.low + MAX_INTEGER)

    def schema(self) -> Schema:
        low, high = self.low, self.high
        if low < 0 <= high:  # one range across zero would let the engine write -0
            return {"anyOf": [_integers(0, high), _integers(low, -1)]}
        return _integers(low, high)

    def dump(self, value: Any) -> str:
        return int.__repr__(self._check(value))

    def pack(self, value: Any) -> int:
        return self._check(value)

    def _check(self, value: Any) -> int:
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise Mismatch(f"{show(value)} is not a {self.words}")
            value = operator.index(value)
        if not self.low <= value <= self.high:
            raise Mismatch(f"{value} is not between {self.low} and {self.high}")
        return value

    def load(self, item: Any) -> int:
        if type(item) is not int or not self.low <= item <= self.high:
            raise Mismatch(f"{show(item)} is not a {self.words}")
        return item

    def values(self, limit: int) -> list[int] | None:
        return list(range(self.low, self.high + 1)) if self.high - self.low < limit else None

    def minimal(self) -> str:
        return "0" if self.low <= 0 <= self.high else min(str(self.low), str(self.high), key=len)

    def sketch(self, seen: set[str] | None = None) -> str:
        return self.words

    def shape(self) -> str:
        return "int"


def _integers(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def between(what: str, low: Any, high: Any) -> str:
    if low is not None and high is not None:
        return f"{what} from {low} to {high}"
    return f"{what}, at least {low}" if low is not None else f"{what}, at most {high}" if high is not None else what


class Float(Node):
    """Finite numbers in decimal notation; `low` and `high` are multiples of 10**-places."""

    bare = True

    def __init__(self, low: Decimal | None, high: Decimal | None, places: int, words: str) -> None:
        self.low = low if low is not None else min(Decimal(-MAX_INTEGER), (high or Decimal(0)) - MAX_INTEGER)
        self.high = high if high is not None else max(Decimal(MAX_INTEGER), self.low + MAX_INTEGER)
        self.places, self.words = places, words
        self._low, self._high = float(self.low), float(self.high)

    def schema(self) -> Schema:
        low, high = self._low, self._high
        if low < 0 == high:  # the engine writes -0 when zero is the upper end
            return {"anyOf": [{"const": 0}, self._range(low, -(10.0**-self.places))]}
        return self._range(low, high)

    def _range(self, low: float, high: float) -> Schema:
        low, high = (int(x) if x == int(x) else x for x in (low, high))
        return {"type": "number", "minimum": low, "maximum": high, "multipleOf": float(f"1e-{self.places}")}

    def pack(self, value: Any) -> float:
        if type(value) is not float:
            if isinstance(value, bool) or not isinstance(value, (float, Integral)):
                raise Mismatch(f"{show(value)} is not a {self.words}")
            value = float(value)
        if not self._low <= value <= self._high:
            raise Mismatch(f"{value} is not between {self.low:f} and {self.high:f}")
        return value

    def load(self, item: Any) -> float:
        return self.pack(item)

    def dump(self, value: Any) -> str:
        """At most `places` decimals, no trailing zeros, no exponent; rounded when the rest does not matter."""
        number = self.pack(value)
        text = float.__repr__(number)
        if text.endswith(".0"):
            return "0" if number == 0 else text[:-2]
        if "e" not in text and len(text) - text.index(".") - 1 <= self.places:
            return text
        near = min(max(Decimal(f"{number:.{self.places}f}"), self.low), self.high)
        if number and abs(float(near) - number) > 1e-3 * abs(number):
            raise Mismatch(f"{number} needs more than {self.places} decimals")
        text = f"{near:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text

    def minimal(self) -> str:
        return "0" if self.low <= 0 <= self.high else min(self.dump(self._low), self.dump(self._high), key=len)

    def sketch(self, seen: set[str] | None = None) -> str:
        return self.words

    def shape(self) -> str:
        return "float"


def float_node(low: Decimal | None, high: Decimal | None, low_open: bool, high_open: bool) -> Float | None:
    """The node between two bounds, moved inward to decimals that can be written. None: nothing lies between."""
    words = between("number", low if low is None else f"{low:f}", high if high is None else f"{high:f}")
    for places in range(PLACES, 10):
        least, most = inward(low, high, low_open, high_open, places)
        if least is None or most is None or least <= most:
            return Float(least, most, places, words)
    return None


def inward(low: Decimal | None, high: Decimal | None, low_open: bool, high_open: bool, places: int):
    step = Decimal(1).scaleb(-places)
    least = None if low is None else low.quantize(step, ROUND_CEILING)
    most = None if high is None else high.quantize(step, ROUND_FLOOR)
    if least is not None and low_open and least == low:
        least += step
    if most is not None and high_open and most == high:
        most -= step
    return least, most


def enum_choice(cls: type[Enum]) -> Choice:
    return Choice(cls.__name__, [(member, _form(member)) for member in cls])


def _form(member: Enum) -> str | int:
    value = member.value
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, int) else str.__str__(value) if isinstance(value, str) else member.name
