"""Rows of a Parquet file, batch by batch.

A batch holds about 16 MiB, whatever the size of the row groups: long texts come a few at a time. Timestamps in
nanoseconds lose the part that Python's `datetime` cannot hold. A cell that has no Python value (text that is not UTF-8)
breaks its row; a damaged page ends the table. Cost: about 2 microseconds a small row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thalweg.errors import DataError
from thalweg.program.tables.row import UTF8, Row, broken

BATCH_ROWS = 1024
BATCH_BYTES = 16 * 2**20
PAGE_BUFFER = 2**20  # bytes; without it, whole column chunks are read at once


def parquet_head(path: Path) -> tuple[list[str], int]:
    """The names of the columns, and the number of rows from the file's footer."""
    try:
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        what = f"{path} is not a Parquet file, or is damaged: {_first_line(error)}."
        raise DataError(what, "Write it again, or correct its suffix.") from error


def parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    """Rows with the columns `wanted`."""
    index = 0
    try:
        with pq.ParquetFile(path, buffer_size=PAGE_BUFFER) as file:
            size = _batch_size(file.metadata)
            for batch in file.iter_batches(batch_size=size, columns=list(wanted)):
                columns = [_python_values(batch.column(name)) for name in wanted]
                for place in range(batch.num_rows):
                    yield _row(index, wanted, [column[place] for column in columns], path)
                    index += 1
    except (pa.ArrowException, OSError) as error:
        what = f"{path} is damaged after row {index}: {_first_line(error)}."
        raise DataError(what, "Write the table again.", row=index) from error


def _row(index: int, wanted: Sequence[str], cells: list[Any], path: Path) -> Row:
    for name, cell in zip(wanted, cells, strict=True):
        if isinstance(cell, _NoValue):
            remedy = UTF8 if isinstance(cell.error, UnicodeDecodeError) else "Store the column with a simpler type."
            return broken(index, f"Row {index} of {path.name}, column {name!r}: {cell.error}.", remedy, name)
    return Row(index, dict(zip(wanted, cells, strict=True)))


class _NoValue:
    """Stands for a cell that has no Python value."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _python_values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_python_value(cell) for cell in column]


def _python_value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return _NoValue(error)


def _batch_size(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1, widest))))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
