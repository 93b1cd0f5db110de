"""What every runner of tables does with rows: counting them, taking a window, naming their content and their errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from thalweg.errors import DataError
from thalweg.program.output_columns import OutputColumns
from thalweg.program.row_order import MOST_CHARACTERS, WINDOW
from thalweg.program.tables import Row, Table, TableWriter
from thalweg.program.types import jsonable


def count_rows(table: Table, limit: int | None) -> int:
    """Rows the run will have; text tables are read through once for it, which costs microseconds a row."""
    if table.rows is None:
        return sum(1 for _ in table)
    return table.rows if limit is None else min(table.rows, limit)


def next_window(rows: Iterator[tuple[int, Row]], plans: bool) -> list[tuple[int, Row]]:
    """The next rows that are looked at together; one where their order stays."""
    window: list[tuple[int, Row]] = []
    size = 0
    for number, row in rows:
        window.append((number, row))
        size += sum(len(value) for value in (row.values or {}).values() if isinstance(value, str))
        if not plans or len(window) == WINDOW or size > MOST_CHARACTERS:
            break
    return window


def described(error: BaseException, row: int) -> str:
    text = f"{type(error).__name__}: {error}"
    if notes := getattr(error, "__notes__", None):
        text += f" ({'; '.join(notes)})"
    return text if f"row {row}" in text.lower() else f"row {row}: {text}"


def row_digest(row: Row) -> str:
    text = json.dumps(jsonable(row.values)) if row.error is None else str(row.error)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def write_row(writer: TableWriter, columns: OutputColumns, row: Row, output: str | None, error: str | None) -> bool:
    """Write one finished row. Whether it failed only here: a value that its column cannot hold is the row's error.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        writer.write([columns.unpack(row.values or {}, output, error)])
    except DataError as problem:
        if problem.column is None:
            raise  # the file, not a cell
        writer.write([columns.unpack({}, None, described(problem, row.index))])
        return error is None
    return False
