"""The bytes of a table: CSV, JSONL and Parquet encoders with one shape: `group`, `end`, `drop`.

They take cells as `Column.encode` gives them and put nothing into the file that does not come from the rows: no time,
no host, fixed options. CSV is quoted only where needed, null is an empty cell and `""` a quoted one; JSONL writes null
for a float that JSON lacks (nan, inf), times as ISO 8601 and decimals as strings, which keep every digit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from thalweg.program.tables.column import Column


class CsvEncoder:
    """Comma- or tab-separated values, UTF-8, lines ending in a line feed."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column], delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._special = re.compile(f'[{delimiter}"\r\n\ufeff]')  # the standard writer leaves a lone \r bare
        self._line([column.name for column in columns])

    def group(self, cells: Sequence[Sequence[Any]]) -> None:
        for row in cells:
            self._line(row)

    def end(self) -> None:
        pass

    def drop(self) -> None:
        pass

    def _line(self, row: Sequence[Any]) -> None:
        line = self._delimiter.join([self._cell(cell) for cell in row]) or '""'  # a blank line would be no row
        self._file.write((line + "\n").encode())

    def _cell(self, cell: Any) -> str:
        if cell is None:
            return ""
        text = cell if isinstance(cell, str) else _text(cell)
        if not text or self._special.search(text):
            return '"' + text.replace('"', '""') + '"'
        return text


class JsonlEncoder:
    """One JSON object a line, UTF-8."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._file = file
        self._columns = [(json.dumps(column.name, ensure_ascii=False), column.kind == "json") for column in columns]

    def group(self, cells: Sequence[Sequence[Any]]) -> None:
        for row in cells:
            parts = [
                f"{name}: {cell if is_json and cell is not None else _json(cell)}"
                for (name, is_json), cell in zip(self._columns, row, strict=True)
            ]
            self._file.write(("{" + ", ".join(parts) + "}\n").encode())

    def end(self) -> None:
        pass

    def drop(self) -> None:
        pass


class ParquetEncoder:
    """Parquet, Zstandard; each group becomes one row group."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._schema = pa.schema([pa.field(column.name, column.arrow) for column in columns])
        self._writer = pq.ParquetWriter(file, self._schema, version="2.6", compression="zstd", compression_level=3)

    def group(self, cells: Sequence[Sequence[Any]]) -> None:
        arrays = [
            pa.array([_utc(cell) for cell in column] if pa.types.is_timestamp(field.type) else list(column), field.type)
            for field, column in zip(self._schema, zip(*cells, strict=True), strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=len(cells))

    def end(self) -> None:
        self._writer.close()

    def drop(self) -> None:
        with suppress(OSError, ValueError):
            self._writer.close()  # while the file is open, or its finaliser would complain
        self._writer.is_open = False


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, date):
        return cell.isoformat()
    return _digits(cell) if isinstance(cell, Decimal) else repr(cell)


def _json(cell: Any) -> str:
    if isinstance(cell, float) and not isfinite(cell):
        return "null"
    if isinstance(cell, date):
        cell = cell.isoformat()
    elif isinstance(cell, Decimal):
        cell = _digits(cell)
    return json.dumps(cell, ensure_ascii=False)


def _digits(cell: Decimal) -> str:
    """Plain digits without the zeros that fixing the scale has added."""
    text = format(cell, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _utc(cell: datetime | None) -> datetime | None:
    return cell.astimezone(UTC).replace(tzinfo=None) if cell is not None and cell.tzinfo is not None else cell
