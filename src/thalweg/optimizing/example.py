"""`Example`: one row of labelled data. Its columns hold the inputs of a program and whatever its metric looks at.

`examples_of` makes them of nearly anything that holds rows: a path of a table, a list of dicts, pairs of (inputs,
label), data classes, an Arrow table. Cost: one pass; an example is a mapping with a digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from thalweg.errors import DataError
from thalweg.program.types import jsonable

LABELS = ("label", "expected", "answer", "output", "target", "gold")


@dataclass(frozen=True)
class Example:
    """A row with its right answer. Columns are attributes too: ``example.text``, ``example.label``.

    Args:
        row: values by column. label: the right answer, None where there is none. number: of the row in its table.
    """

    row: Mapping[str, Any]
    label: Any = None
    number: int = field(default=-1, compare=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.row[name]
        except KeyError:
            raise AttributeError(f"this example has no column {name!r}; it has: {', '.join(self.row)}") from None

    def __getitem__(self, name: str) -> Any:
        return self.row[name]

    @cached_property
    def digest(self) -> str:
        """Equal for equal rows with equal labels, in any process."""
        text = json.dumps([jsonable(dict(self.row)), jsonable(self.label)], sort_keys=True, default=repr)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def inputs(self, names: Sequence[str]) -> dict[str, Any]:
        """The columns that a program takes. Raises `DataError` naming what is missing."""
        if missing := [name for name in names if name not in self.row]:
            raise DataError(
                f"Example {self.number} has no column {missing[0]!r} for the program's input of that name; it has: "
                f"{', '.join(self.row)}.",
                "Rename the column or the parameter.",
                row=self.number, column=missing[0],
            )  # fmt: skip
        return {name: self.row[name] for name in names}


def examples_of(
    source: Any, *, label: str | None = None, names: Sequence[str] = (), limit: int | None = None
) -> list[Example]:  # noqa: E501
    """Examples from rows.

    Args:
        source: a path of a table (CSV, TSV, JSONL, Parquet), an Arrow table, or an iterable of dicts, of `Example`s, of
            data classes, or of pairs (inputs, label) where inputs is a dict, a tuple by position, or the only input.
        label: column of the right answer (default: `label`, `expected`, `answer`, ..., if there is one).
        names: the program's inputs, for pairs. limit: at most so many.

    Raises:
        DataError: no rows, or a row of no known form, with its number.
    """
    made: list[Example] = []
    for number, row in enumerate(_rows(source)):
        if limit is not None and number >= limit:
            break
        made.append(_example(row, number, label, names))
    if not made:
        raise DataError("There are no examples.", "Give at least one row.")
    return made


def _rows(source: Any) -> Iterable[Any]:
    if isinstance(source, str | os.PathLike):
        from thalweg.program.tables import open_table

        return _table_rows(open_table(os.fspath(source)))
    if hasattr(source, "to_pylist"):  # Arrow
        return source.to_pylist()
    if isinstance(source, Mapping):
        raise DataError("A mapping is no list of examples.", "Give a list of rows.")
    return source


def _table_rows(table: Any) -> Iterable[Any]:
    for row in table:
        if row.values is None or getattr(row, "error", None):
            raise DataError(
                f"Row {row.number if hasattr(row, 'number') else '?'} cannot be read.", "Correct the table."
            )
        yield dict(row.values)


def _example(row: Any, number: int, label: str | None, names: Sequence[str]) -> Example:
    if isinstance(row, Example):
        return row if row.number >= 0 else dataclasses.replace(row, number=number)
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        row = {one.name: getattr(row, one.name) for one in dataclasses.fields(row)}
    if isinstance(row, Mapping):
        column = label or next((one for one in LABELS if one in row and one not in names), None)
        if label is not None and label not in row:
            raise DataError(
                f"Row {number} has no column {label!r}; it has: {', '.join(map(str, row))}.",
                "Name the column of the right answers.", row=number, column=label,
            )  # fmt: skip
        return Example(dict(row), row[column] if column else None, number)
    if isinstance(row, tuple) and len(row) == 2:
        inputs, right = row
        if isinstance(inputs, Mapping):
            return Example(dict(inputs), right, number)
        values = inputs if isinstance(inputs, tuple) and len(names) != 1 else (inputs,)
        if len(values) == len(names):
            return Example(dict(zip(names, values, strict=True)), right, number)
    raise DataError(
        f"Row {number} ({row!r:.60}) is no example.",
        "Give dicts by column, or pairs of (inputs, right answer).", row=number,
    )  # fmt: skip
