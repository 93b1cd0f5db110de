"""Turns one cell of a table into the simple type an input asks for.

CSV holds only text, JSONL no dates, Parquet nearly everything: `cast` accepts what means the same (`"3"`, `3` and `3.0`
are the integer 3) and refuses what would need a guess (`"3.5"` for an integer, a missing value for a required input).
Types it does not know are handed on untouched. Cost: about a microsecond a cell.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from thalweg.errors import DataError

TRUE = frozenset({"true", "t", "yes", "y", "1"})
FALSE = frozenset({"false", "f", "no", "n", "0"})
INTEGER = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")
SHOWN = 80  # characters of a bad value that a message repeats


def cast(value: Any, annotation: Any, *, row: int | None = None, column: str | None = None) -> Any:
    """The cell `value` as a value of type `annotation`.

    An empty CSV cell is `None` for an optional type, except where a string is allowed too (it stays `""`). Lists and
    dictionaries may come as JSON text. A union keeps a value that already is of one of its types, else takes the first
    type that accepts it.

    Raises:
        DataError: the value cannot be of that type; carries `row` and `column` and repeats at most 80 characters of it.
    """
    try:
        return _cast(value, annotation)
    except (ValueError, TypeError, OverflowError, InvalidOperation, RecursionError):
        where = ", ".join(part for part in (row is not None and f"row {row}", column and f"column {column!r}") if part)
        missing = value is None or value == ""
        found = "the value is missing" if missing else f"{_shown(value)} is not {_name(annotation)}"
        remedy = (
            f"Fill the cell, or declare the input as `{_name(annotation)} | None`."
            if missing
            else "Correct the cell, or declare the input with a type that fits it."
        )
        what = f"{where[:1].upper()}{where[1:]}: {found}." if where else f"{found[:1].upper()}{found[1:]}."
        raise DataError(what, remedy, row=row, column=column) from None


def _cast(value: Any, annotation: Any) -> Any:
    """As `cast`; a refusal is a bare `ValueError` or `TypeError`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _cast(value, get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return _union(value, get_args(annotation))
    if origin is Literal:
        return _literal(value, get_args(annotation))
    kind = origin or annotation
    if kind is None or kind is type(None):
        return _require(None, value is None or value == "")
    if kind in (list, dict, Sequence, Mapping):
        return _container(value, kind)
    caster = CASTERS.get(kind) if isinstance(kind, type) else None
    return caster(value) if caster else value


def _union(value: Any, members: Sequence[Any]) -> Any:
    plain = [get_origin(member) or member for member in members]
    if type(value) in plain:
        return value
    if (value is None or value == "") and type(None) in plain:
        return None
    for member in members:
        try:
            return _cast(value, member)
        except (ValueError, TypeError, OverflowError, InvalidOperation, RecursionError):
            continue
    raise ValueError


def _literal(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    for choice in choices:  # "3" for Literal[3]
        if isinstance(value, str) and str(choice) == value.strip():
            return choice
    raise ValueError


def _container(value: Any, kind: type) -> Any:
    if isinstance(value, str):  # JSON text, as CSV cells and columns of kind "json" hold it
        value = json.loads(value)
    return _require(value, isinstance(value, Mapping if kind in (dict, Mapping) else (list, tuple)))


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime):
        return value.isoformat()
    return _require(str(value), isinstance(value, int | float | Decimal))


def _int(value: Any) -> int:
    if isinstance(value, str):
        match = INTEGER.fullmatch(value.strip())
        return int(_require(match, match is not None)[1])
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return int(_require(value, number and value == int(value)))


def _float(value: Any) -> float:
    if isinstance(value, str):
        return float(_require(value, "_" not in value))
    return float(_require(value, isinstance(value, int | float | Decimal) and not isinstance(value, bool)))


def _bool(value: Any) -> bool:
    text = value.strip().lower() if isinstance(value, str) else str(value).lower()
    known = isinstance(value, bool | int | str) and (text in TRUE or text in FALSE)
    return _require(text in TRUE, known)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        return _require(value.date(), value.time() == time())
    return value if isinstance(value, date) else date.fromisoformat(value.strip() if isinstance(value, str) else value)


def _datetime(value: Any) -> datetime:
    if isinstance(value, date):
        return value if isinstance(value, datetime) else datetime.combine(value, time())
    return datetime.fromisoformat(value.strip() if isinstance(value, str) else value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, float):
        return Decimal(repr(value))
    known = isinstance(value, int | str | Decimal) and not isinstance(value, bool)
    return Decimal(_require(value, known))


CASTERS = {str: _str, int: _int, float: _float, bool: _bool, date: _date, datetime: _datetime, Decimal: _decimal}


def _require(value: Any, accepted: bool) -> Any:
    if not accepted:
        raise ValueError
    return value


def _shown(value: Any) -> str:
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _name(annotation: Any) -> str:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "")
