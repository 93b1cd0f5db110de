"""Where a value's own type decides: the exact answers of semantic operators, found without a model.

Numbers, dates, enums, bytes, None and containers of anything are *exact*: Python's operator is right for them. Texts
are not - unless they are equal as given, or stand for a number or a date that the other side has. `UNDECIDED` means
that only meaning can tell. Cost: a microsecond.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from thalweg.errors import Error
from thalweg.program.types import TypePlan, render_value


class _Undecided:
    def __repr__(self) -> str:
        return "UNDECIDED"


UNDECIDED: Final = _Undecided()

_EXACT = (
    numbers.Number, datetime.date, datetime.time, datetime.timedelta, bytes, bytearray, type(None), PurePath, UUID,
    list, tuple, set, frozenset, Mapping, range, Enum,
)  # fmt: skip


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Enum)


def is_exact(value: Any) -> bool:
    """Whether Python's own operators mean what a reader would."""
    return isinstance(value, _EXACT)


def same(a: Any, b: Any) -> Any:
    """Equality: Python's own for exact values; equal texts are the same; a text may stand for a number or date."""
    if is_exact(a) and is_exact(b):
        return a == b
    if is_text(a) and is_text(b):
        return True if a == b else UNDECIDED
    if is_text(a) != is_text(b):
        a, b = _like(a, b), _like(b, a)
        return a == b if is_exact(a) and is_exact(b) else UNDECIDED
    try:
        return True if a is b or bool(a == b) else UNDECIDED
    except Exception:  # an object whose comparison has no truth, such as an array
        return UNDECIDED


def less(a: Any, b: Any, by: str = "") -> Any:
    """Order: Python's own for exact values without a criterion; nothing is less than itself."""
    if same(a, b) is True:
        return False
    return UNDECIDED if by else compared(lambda x, y: x < y, a, b)


def compared(operator: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """A comparison by Python's own operator where both sides are exact, raising what it raises."""
    if is_text(a) != is_text(b):
        a, b = _like(a, b), _like(b, a)
    return operator(a, b) if is_exact(a) and is_exact(b) else UNDECIDED


def contains(whole: Any, part: Any) -> Any:
    """Containment: Python's own for exact values; a text that stands in the whole as it is, is in it."""
    if is_text(whole) and is_text(part):
        return True if part in whole else UNDECIDED
    if isinstance(whole, Collection | range) and not is_text(whole):
        if part in whole:
            return True
        return UNDECIDED if is_text(part) and any(map(is_text, whole)) else False
    return UNDECIDED


def combined(operator: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """A binary operator's own result; UNDECIDED for texts and for types that have no such operator."""
    if is_text(a) or is_text(b):
        return UNDECIDED
    try:
        return operator(a, b)
    except TypeError:
        return UNDECIDED


def negated(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if is_text(value):
        return UNDECIDED
    try:
        return ~value
    except TypeError:
        return UNDECIDED


def converted(output: TypePlan[Any]) -> Callable[..., Any]:
    """The rule of a conversion to a type: what already is of it, or is written as its values are."""

    def rule(value: Any, hint: str = "") -> Any:
        kind = output.annotation
        if isinstance(kind, type) and type(value) is kind:
            return value
        if kind is str:
            return render_value(value) if is_exact(value) else UNDECIDED
        try:
            if is_text(value):
                return output.decode(value.strip())
            if kind in (int, float, Decimal) and isinstance(value, int | float | Decimal):
                made = kind(str(value)) if kind is Decimal else kind(value)
                return made if made == value else UNDECIDED
            return output.from_json(value)
        except (Error, ValueError, TypeError, OverflowError, KeyError, AttributeError):
            return UNDECIDED

    return rule


def chosen(output: TypePlan[Any]) -> Callable[..., Any]:
    """The rule of a choice: the only option there is, or the one that is equal as given."""

    def rule(value: Any, question: str = "") -> Any:
        options: Sequence[Any] = output.values() or ()
        if len(options) == 1:
            return options[0]
        return next((one for one in options if not question and is_text(value) and one == value), UNDECIDED)

    return rule


def _like(value: Any, other: Any) -> Any:
    """A text as the number, date or time that the other side is; the value itself where it is none."""
    if not is_text(value):
        return value
    text = value.strip()
    try:
        if isinstance(other, datetime.datetime | datetime.date | datetime.time):
            return type(other).fromisoformat(text)
        if isinstance(other, numbers.Number) and not isinstance(other, bool):
            number = Decimal(text)
            return value if not number.is_finite() else float(text) if isinstance(other, float) else number
    except (ValueError, InvalidOperation):
        pass
    return value
