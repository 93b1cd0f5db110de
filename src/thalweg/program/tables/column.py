"""A column of a table that is written: a name, a kind, and what values of that kind may be.

Eight kinds are enough for every result: anything that has parts is `json`. `encode` refuses at once what the file
could not hold (an integer of 80 bits, half a surrogate pair), so that a bad value is met with its row and column still
known. Cost: below a microsecond a cell.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from enum import Enum
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from thalweg.errors import DataError
from thalweg.program.tables.row import is_text

ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date32": pa.date32(),
    "timestamp": pa.timestamp("us"),  # aware times are stored as UTC
    "decimal128": pa.decimal128(38, 18),
    "json": pa.string(),
}
SMALLEST = Decimal(1).scaleb(-18)
EXACT = Context(prec=38, traps=[Inexact, InvalidOperation])
SHOWN = 80


@dataclass(frozen=True)
class Column:
    """A column: `kind` is one of string, int64, float64, bool, date32, timestamp, decimal128, json.

    A `json` column takes lists, dictionaries, dataclasses and Pydantic models; it is JSON text in Parquet and CSV, and
    plain JSON in JSONL.
    """

    name: str
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ARROW:
            what = f"Column {self.name!r} has the unknown kind {self.kind!r}."
            raise DataError(what, f"Use one of: {', '.join(ARROW)}.", column=self.name)
        if not is_text(self.name):
            raise DataError(f"The column name {self.name!a} is not Unicode text.", "Rename it.")

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type in a Parquet file."""
        return ARROW[self.kind]

    def encode(self, value: Any, row: int) -> Any:
        """The value as the file will hold it; JSON as text.

        Raises:
            DataError: the value does not fit the kind.
        """
        if value is None:
            return None
        try:
            return _ENCODERS[self.kind](value)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            shown = ascii(value)
            shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."
            reason = f": {error}" if str(error) else ""
            what = f"Row {row}, column {self.name!r}: {shown} is no {self.kind}{reason}."
            raise DataError(what, "Return a value that fits the column.", row=row, column=self.name) from None


def _string(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        raise TypeError
    if not is_text(value):
        raise ValueError("it has half a surrogate pair")
    return str(value)


def _int64(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not -(2**63) <= value < 2**63:
        raise OverflowError("it needs more than 64 bits")
    return int(value)


def _float64(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date32(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError
    return value


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError
    if value.tzinfo is not None:
        value.astimezone(UTC)  # OverflowError at the ends of the calendar
    return value


def _decimal128(value: Any) -> Decimal:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise TypeError
    if not Decimal(value).is_finite():
        raise ValueError
    with localcontext(EXACT):
        try:
            return Decimal(value).quantize(SMALLEST)
        except ArithmeticError:
            raise ValueError("it needs more than 20 digits before the point or 18 after it") from None


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    if not is_text(text):
        raise ValueError("it has half a surrogate pair")
    return text


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself, as something it can."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODERS = {
    "string": _string,
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "date32": _date32,
    "timestamp": _timestamp,
    "decimal128": _decimal128,
    "json": _json,
}
