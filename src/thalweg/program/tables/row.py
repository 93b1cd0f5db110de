"""What every reader of tables hands on: a `Row`, whole or broken.

`broken` makes the row that stands for one that cannot be read: its error names the row, the column where that is known,
and the remedy. `CELL` bounds what one row may take, and so the memory of all readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import DataError

CELL = 64 * 2**20  # the largest CSV cell (characters), JSONL line or text file (bytes); a larger one breaks its row
UTF8 = "Save it as UTF-8, or replace the damaged text."


@dataclass(frozen=True)
class Row:
    """One row: `values`, or the `error` that says why there are none. `index` counts rows from zero."""

    index: int
    values: dict[str, Any] | None
    error: DataError | None = None


def broken(index: int, what: str, remedy: str, column: str | None = None) -> Row:
    """A row that cannot be read."""
    return Row(index, None, DataError(what, remedy, row=index, column=column))


def is_text(cell: str) -> bool:
    """Whether the string is Unicode text: it has no lone surrogate, as an escaped byte or `"\\ud800"` gives."""
    if cell.isascii():
        return True
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_utf16(path: Path) -> None:
    """Raise `DataError` for a file that starts like the UTF-16 text some spreadsheets write."""
    with open(path, "rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is UTF-16 text.", "Save the table as UTF-8.")
