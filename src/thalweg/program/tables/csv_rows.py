"""Rows of a CSV or TSV file, through the standard `csv` module.

Each line is decoded with surrogate escapes, so that a byte that is not UTF-8 spoils one cell (whose column can then be
named) and not the stream. A record whose quotes are broken costs its first line only: the lines that the open quote had
swallowed are read again as records of their own. Cost: about 2 microseconds a small row.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from thalweg.errors import DataError
from thalweg.program.tables.row import CELL, UTF8, Row, broken, is_text, refuse_utf16


def csv_names(path: Path, delimiter: str) -> list[str]:
    """The header: the first line that is not blank."""
    with _csv_text(path) as file:
        try:
            names = next((record for record in csv.reader(file, delimiter=delimiter, strict=True) if record), None)
        except csv.Error as error:
            raise DataError(f"The header of {path} is broken: {error}.", "Correct its quotes.") from None
    if names is None:
        raise DataError(f"{path} has no header.", "Write the names of the columns into its first line.")
    if not all(map(is_text, names)):
        raise DataError(f"The header of {path} is not UTF-8.", UTF8)
    return names


def csv_rows(path: Path, names: Sequence[str], wanted: Sequence[str], delimiter: str) -> Iterator[Row]:
    """Rows with the columns `wanted`; blank lines are skipped."""
    picks = [(name, names.index(name)) for name in wanted]
    with _csv_text(path) as file:
        lines = _Lines(file)
        records = csv.reader(lines, delimiter=delimiter, strict=True)
        index = -1  # the header
        while True:
            lines.begin()
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                lines.keep_only_first()  # a quote left open would swallow all the rows below it
                what = f"Row {index} of {path.name} (line {lines.number}) has a quote out of place: {error}."
                yield broken(index, what, "Close each quoted cell, and double the quotes inside it.")
                index += 1
                continue
            if fields and index >= 0:
                yield _csv_row(index, fields, names, picks, path, lines.number)
            index += bool(fields)


def _csv_row(
    index: int, fields: list[str], names: Sequence[str], picks: Sequence[tuple[str, int]], path: Path, line: int
) -> Row:
    if len(fields) != len(names):
        what = f"Row {index} of {path.name} (line {line}) has {len(fields)} fields, the header {len(names)}."
        return broken(index, what, "Quote cells that hold delimiters or line breaks.")
    values = {name: fields[place] for name, place in picks}
    for name, cell in values.items():
        if not is_text(cell):
            return broken(index, f"Row {index} of {path.name} (line {line}), column {name!r} is not UTF-8.", UTF8, name)
    return Row(index, values)


def _csv_text(path: Path) -> IO[str]:
    """Text in which a byte that is not UTF-8 is a lone surrogate, so that one bad cell does not end the stream."""
    refuse_utf16(path)
    csv.field_size_limit(max(csv.field_size_limit(), CELL))  # the standard limit is 128 KiB
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """Lines of a file that can be handed out again: those of a record that turned out to be broken."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.number = 0  # of the line handed out last, from 1
        self.record: list[str] = []  # lines of the record being parsed
        self.again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else next(self.file)
        self.record.append(line)
        self.number += 1
        return line

    def begin(self) -> None:
        self.record = []

    def keep_only_first(self) -> None:
        self.again.extendleft(reversed(self.record[1:]))
        self.number -= len(self.record) - 1
