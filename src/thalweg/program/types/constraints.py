"""What `Annotated[...]` and pydantic's `Field(...)` say about a type.

What: reads `annotated_types` (Ge, Gt, Le, Lt, Len, ...), pydantic's metadata and plain strings into one small table,
from which each type form takes what it understands. When: `reading.py`, once per annotation. Cost: microseconds.
A constraint nobody took, or one that cannot be guaranteed, is an error that names the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from thalweg.errors import TypeNotSupported, UnsatisfiableConstraint

from .node import PLACES

NAMES = ("ge", "gt", "le", "lt", "min_length", "max_length", "multiple_of")
GENERAL = ("pattern", "max_digits", "decimal_places")
CHANGES = ("strip_whitespace", "to_lower", "to_upper")
VALIDATORS = ("AfterValidator", "BeforeValidator", "PlainValidator", "WrapValidator", "Predicate")


class Constraints:
    """Constraints on one place of a type. `lenient`: inside a pydantic model, which runs its own validators."""

    def __init__(self, where: str, metadata: Iterable[Any] = (), *, lenient: bool = False) -> None:
        self.where, self.lenient = where, lenient
        self.description = ""
        self._found: dict[str, Any] = {}
        self.has_digits = False
        self.add(metadata)

    def copy(self) -> Constraints:
        other = Constraints(self.where, lenient=self.lenient)
        other._found = dict(self._found)
        return other

    def take_all(self) -> Constraints:
        """All of them, for the members of a union."""
        other = self.copy()
        self._found = {}
        return other

    def add(self, metadata: Iterable[Any], *, inner: bool = False) -> None:
        metadata = tuple(metadata)
        if not metadata:
            return
        import annotated_types as at  # only where a type has constraints

        for item in metadata:
            if type(item).__name__ == "FieldInfo":  # pydantic's, which is not imported here for its own sake
                self.add(item.metadata)
                item = item.description
            if isinstance(item, str):
                self.description = self.description if inner and self.description else item
            elif isinstance(item, at.GroupedMetadata):
                self.add(item)
            elif type(item).__name__ in VALIDATORS:
                if not self.lenient:
                    raise TypeNotSupported(
                        f"{self.where}: {item!r} cannot be guaranteed.",
                        "Check the value after the call, or use it in a pydantic model.",
                    )
            elif item is not None:
                self._read(item)

    def _read(self, item: Any) -> None:
        import annotated_types as at

        if isinstance(item, at.Timezone):
            raise TypeNotSupported(f"{self.where}: times have no zone here.", "Drop the Timezone.")
        if hasattr(item, "documentation"):
            self.description = self.description or item.documentation
        if not isinstance(item, at.BaseMetadata):
            return
        for name in (*NAMES, *GENERAL):
            if getattr(item, name, None) is not None:
                self._set(name, getattr(item, name))
        for name in CHANGES:
            if getattr(item, name, None):
                raise TypeNotSupported(
                    f"{self.where}: `{name}` changes the text after it was written.",
                    "Say the wanted form with a pattern.",
                )

    def _set(self, name: str, value: Any) -> None:
        """Two constraints of one name: the tighter one counts."""
        old = self._found.get(name)
        if old is not None and name == "pattern" and old != value:
            raise TypeNotSupported(f"{self.where}: it has two patterns.", "Write one pattern that says both.")
        if old is not None and name != "pattern":
            value = max(old, value) if name in ("ge", "gt", "min_length") else min(old, value)
        self._found[name] = value

    def finish(self, type_name: str) -> None:
        """Complain about what nobody took."""
        if "multiple_of" in self._found:
            raise TypeNotSupported(
                f"{self.where}: `multiple_of` cannot be guaranteed.",
                "Ask for the quotient and multiply, or use a Literal.",
            )
        if self._found:
            name = next(iter(self._found))
            raise TypeNotSupported(f"{self.where}: `{name}` does not apply to {type_name}.", "Remove it.")

    def empty(self, why: str) -> UnsatisfiableConstraint:
        return UnsatisfiableConstraint(f"{self.where}: {why}.", "Loosen its constraints.")

    def _number(self, name: str) -> Decimal | None:
        value = self._found.pop(name, None)
        if value is None:
            return None
        try:
            number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        except Exception:
            number = Decimal("nan")
        if number.is_nan():
            raise TypeNotSupported(f"{self.where}: the bound {name}={value!r} is not a number.", "Use a number.")
        return None if number.is_infinite() and (number < 0) == (name in ("ge", "gt")) else number

    def bounds(self) -> tuple[Decimal | None, Decimal | None, bool, bool]:
        """(low, high, low is excluded, high is excluded)"""
        ge, gt, le, lt = (self._number(name) for name in ("ge", "gt", "le", "lt"))
        low_open = gt is not None and (ge is None or gt >= ge)
        high_open = lt is not None and (le is None or lt <= le)
        low, high = gt if low_open else ge, lt if high_open else le
        if (low is not None and low.is_infinite()) or (high is not None and high.is_infinite()):
            raise self.empty("no finite number lies beyond infinity")
        if low is not None and high is not None and (low > high or (low == high and (low_open or high_open))):
            raise self.empty(f"no value lies between {low} and {high}")
        return low, high, low_open, high_open

    def integers(self) -> tuple[int | None, int | None]:
        low, high, low_open, high_open = self.bounds()
        least = None if low is None else math.floor(low) + 1 if low_open else math.ceil(low)
        most = None if high is None else math.ceil(high) - 1 if high_open else math.floor(high)
        if least is not None and most is not None and least > most:
            raise self.empty(f"no whole number lies between {low} and {high}")
        return least, most

    def digits(self) -> tuple[int, int]:
        """(digits after the point, digits before it) of a Decimal"""
        places, total = self._found.pop("decimal_places", None), self._found.pop("max_digits", None)
        self.has_digits = total is not None
        if places is None:
            places = PLACES if total is None else min(PLACES, total // 2)
        return places, 12 if total is None else max(total - places, 0)

    def dates(self) -> tuple[date | None, date | None]:
        found = {name: self._found.pop(name, None) for name in ("ge", "gt", "le", "lt")}
        for name, value in found.items():
            if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
                raise TypeNotSupported(f"{self.where}: the bound {name}={value!r} is not a date.", "Use a date.")
        try:
            lows = [found["ge"], found["gt"] and date.fromordinal(found["gt"].toordinal() + 1)]
            highs = [found["le"], found["lt"] and date.fromordinal(found["lt"].toordinal() - 1)]
        except (ValueError, OverflowError):
            raise self.empty("no date lies beyond its bounds") from None
        low = max((day for day in lows if day), default=None)
        high = min((day for day in highs if day), default=None)
        if low and high and low > high:
            raise self.empty(f"no date lies between {low} and {high}")
        return low, high

    def lengths(self, default: int) -> tuple[int, int]:
        low, high = self._found.pop("min_length", 0), self._found.pop("max_length", None)
        high = max(default, low) if high is None else high
        if low > high or high < 0:
            raise self.empty(f"no length is at least {low} and at most {high}")
        return low, high

    def text(self) -> tuple[int, int | None, str | None, int]:
        """(fewest characters, most, pattern, its flags)"""
        low, high = self._found.pop("min_length", 0), self._found.pop("max_length", None)
        if high is not None and (low > high or high < 0):
            raise self.empty(f"no length is at least {low} and at most {high}")
        pattern = self._found.pop("pattern", None)
        if isinstance(pattern, re.Pattern):
            return low, high, pattern.pattern, pattern.flags & ~re.UNICODE
        return low, high, pattern, 0
