"""How a program's result becomes columns: fields of a class each a column, anything else one column `output`.

The result is first packed to JSON and the columns are read from that JSON, also in the run that computed it, so that a
replayed row and a fresh one give the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel

from thalweg.errors import DataError, TypeNotSupported
from thalweg.program.learned import Learned
from thalweg.program.tables import Column, Table
from thalweg.program.types import TypePlan, jsonable, plan, render_value

RESERVED = ("_error", "_tokens", "_confidence")


@dataclass(frozen=True)
class OutputColumns:
    """Columns of the output table.

    Args:
        columns: all, in order: kept input columns, result columns, `_error`, `_tokens`, `_confidence`.
        kept: names of the input columns carried over.
        fields: (field of the result, column); a single entry with field None when the result is one value.
    """

    columns: tuple[Column, ...]
    kept: tuple[str, ...]
    fields: tuple[tuple[str | None, Column], ...]
    plan: TypePlan[Any] | None

    @classmethod
    def of(cls, program: Any, kept: list[str], table: Table) -> OutputColumns:
        """Columns for `program` over `table`; a result column named like a kept one gets the program's name before."""
        annotation = typing.get_type_hints(program.function, include_extras=True).get("return", Any)
        compiled = _plan(program, annotation)
        fields: list[tuple[str | None, Column]] = []
        for name, kind in _fields(annotation):
            column = name or "output"
            if column in kept or column in RESERVED:
                column = f"{program.name}_{column}"
            fields.append((name, Column(column, kind)))
        carried = [Column(name, _input_kind(table, name)) for name in kept]
        own = [Column("_error", "string"), Column("_tokens", "int64"), Column("_confidence", "float64")]
        columns = (*carried, *(column for _, column in fields), *own)
        return cls(columns, tuple(kept), tuple(fields), compiled)

    def pack(self, result: Any, tokens: int, confidence: float) -> dict[str, Any]:
        """A result as JSON. A result with a field `confidence` speaks for itself."""
        value = self._json(result)
        own = getattr(result, "confidence", None)
        if isinstance(own, int | float) and not isinstance(own, bool):
            confidence = float(own)
        return {"value": value, "tokens": tokens, "confidence": None if math.isnan(confidence) else confidence}

    def _json(self, result: Any) -> Any:
        """The JSON form of a result. A flow may return more than a model may write: longer texts, line breaks."""
        if self.plan is not None:
            try:
                return self.plan.to_json(result)
            except DataError as error:
                refused = error
            value = json.loads(render_value({"value": result}))["value"]
        else:
            refused = DataError(f"{result!r:.80} does not fit its columns.", "Return a value of the declared type.")
            value = jsonable(result)
        try:
            for name, column in self.fields:
                column.encode(_cell(value if name is None else value[name], column.kind), 0)
        except (DataError, ValueError, TypeError, LookupError):
            raise refused from None
        return value

    def unpack(self, inputs: Mapping[str, Any], packed: str | None, error: str | None) -> dict[str, Any]:
        """The cells of one output row."""
        row: dict[str, Any] = {name: inputs.get(name) for name in self.kept}
        made = json.loads(packed) if packed is not None else {}
        value = made.get("value")
        for name, column in self.fields:
            cell = value if name is None else value.get(name) if isinstance(value, dict) else None
            row[column.name] = _cell(cell, column.kind)
        row["_error"], row["_tokens"], row["_confidence"] = error, made.get("tokens"), made.get("confidence")
        return row


def _plan(program: Any, annotation: Any) -> TypePlan[Any] | None:
    if isinstance(program, Learned):
        return program.signature.output
    try:
        return plan(annotation)
    except TypeNotSupported:
        return None  # a flow may return what no model could write


def _fields(annotation: Any) -> list[tuple[str | None, str]]:
    annotation = _bare(annotation)
    if isinstance(annotation, type):
        if dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation):
            hints = typing.get_type_hints(annotation, include_extras=True)
            return [(name, _kind(hint)) for name, hint in hints.items()]
        if issubclass(annotation, BaseModel):
            return [(name, _kind(info.annotation)) for name, info in annotation.model_fields.items()]
    return [(None, _kind(annotation))]


def _kind(annotation: Any) -> str:
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        members = [one for one in typing.get_args(annotation) if one is not type(None)]
        kinds = {_kind(one) for one in members}
        return kinds.pop() if len(kinds) == 1 else "json"
    if origin is typing.Literal:
        kinds = {_kind(type(one)) for one in typing.get_args(annotation) if one is not None}
        return kinds.pop() if len(kinds) == 1 else "json"
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            kinds = {_kind(type(one.value)) for one in annotation}
            return kinds.pop() if len(kinds) == 1 and kinds <= {"string", "int64"} else "string"
        known = (
            (bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (datetime, "timestamp"),
            (date, "date32"), (Decimal, "decimal128"),
        )  # fmt: skip
        for kind, name in known:
            if issubclass(annotation, kind):
                return name
    return "json"


def _bare(annotation: Any) -> Any:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _cell(cell: Any, kind: str) -> Any:
    if cell is None:
        return None
    if kind == "date32":
        return date.fromisoformat(cell)
    if kind == "timestamp":
        return datetime.fromisoformat(cell)
    if kind == "decimal128":
        return Decimal(str(cell))
    if kind == "string" and not isinstance(cell, str):
        return json.dumps(cell)
    return cell


def _input_kind(table: Table, name: str) -> str:
    if table.kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        type_ = pq.read_schema(table.path).field(name).type
        for test, kind in (
            (pa.types.is_boolean, "bool"), (pa.types.is_integer, "int64"), (pa.types.is_floating, "float64"),
            (pa.types.is_date, "date32"), (pa.types.is_timestamp, "timestamp"), (pa.types.is_decimal, "decimal128"),
            (pa.types.is_string, "string"), (pa.types.is_large_string, "string"),
        ):  # fmt: skip
            if test(type_):
                return kind
        return "json"
    return "json" if table.kind == "jsonl" else "string"
