"""Rows of a JSONL file, one object a line.

Lines are read as bytes and decoded one by one, so that a damaged line is one broken row. Blank lines are skipped.
JSON's `NaN` and `Infinity` are accepted, as many tools write them. Cost: about 3 microseconds a small row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from thalweg.program.tables.row import CELL, UTF8, Row, broken, is_text, refuse_utf16

LOOKED_AT = 100  # rows that tell the columns
ONE_A_LINE = "Write one JSON object a line."
BOM = b"\xef\xbb\xbf"


def jsonl_names(path: Path) -> list[str]:
    """The keys of the first 100 rows, in order of appearance."""
    refuse_utf16(path)
    rows = islice(jsonl_rows(path, (), rest=True), LOOKED_AT)
    return list(dict.fromkeys(name for row in rows for name in row.values or ()))


def jsonl_rows(path: Path, wanted: Sequence[str], *, rest: bool) -> Iterator[Row]:
    """Rows with the columns `wanted`, `None` where the object lacks the key, and its other keys if `rest`."""
    index = 0
    with open(path, "rb") as file:
        for number, line in enumerate(_lines(file), 1):
            if number == 1:
                line = line.removeprefix(BOM)
            if not line.strip():
                continue
            row = _row(index, line, f"Row {index} of {path.name} (line {number})")
            if row.values is not None:
                chosen = {name: row.values.get(name) for name in wanted}
                row = Row(index, chosen | row.values if rest else chosen)
            yield row
            index += 1


def _row(index: int, line: bytes, where: str) -> Row:
    if len(line) > CELL:
        return broken(index, f"{where} has more than {CELL} bytes.", ONE_A_LINE)
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return broken(index, f"{where} is not UTF-8 at byte {error.start}.", UTF8)
    except RecursionError:
        return broken(index, f"{where} is nested too deeply.", "Flatten the object.")
    except ValueError as error:
        return broken(index, f"{where} is not JSON: {error}.", ONE_A_LINE)
    if not isinstance(value, dict):
        return broken(index, f"{where} is a JSON {_kind(value)}, not an object.", ONE_A_LINE)
    if b"\\u" in line:  # only an escape can bring in a lone surrogate, which no output can hold
        for name, cell in value.items():
            if not is_text(json.dumps({name: cell}, ensure_ascii=False)):
                return broken(index, f"{where}, column {name!a} has half a surrogate pair.", UTF8, name)
    return Row(index, value)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; of one larger than `CELL` only its beginning, one byte too long."""
    while line := file.readline(CELL + 1):
        yield line
        while len(line) > CELL and not line.endswith(b"\n"):
            line = file.readline(CELL + 1)
            if len(line) <= CELL:
                break


def _kind(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
