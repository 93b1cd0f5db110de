"""`Example`: one row of labelled data. Its columns hold the inputs of a program and whatever its metric looks at.

`examples_of` makes them of nearly anything that holds rows: a path of a table, a list of dicts, pairs of (inputs,
label), data classes, an Arrow table, a data frame. Given the program, cells and labels of a table become values of its
types, as text tables have only text. A row that cannot be read is left out with a warning: one bad line must not cost
the search. Cost: one pass; an example is a mapping with a digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import typing
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, Error
from thalweg.program.types import TypePlan, jsonable, plan

LABELS = ("label", "expected", "answer", "output", "target", "gold")
_ARROW = (".arrow", ".feather", ".ipc")


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
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

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


@dataclass(frozen=True)
class Read:
    """What came of a source of examples.

    Args:
        examples: in order. left_out: why each of the other rows cannot be used. notes: for people.
        rows: how many the source had.
    """

    examples: list[Example]
    left_out: tuple[DataError, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0

    @property
    def warnings(self) -> list[str]:
        """What a person should know, in words."""
        if not self.left_out:
            return list(self.notes)
        count = len(self.left_out)
        said = f"{count} row{'s' * (count != 1)} of {self.rows} cannot be used and are left out; first"
        return [f"{said}: {self.left_out[0].what}", *self.notes]


def examples_of(
    source: Any,
    *,
    label: str | None = None,
    names: Sequence[str] = (),
    program: Any = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> list[Example]:
    """Examples from rows; rows that cannot be used are left out with a `RuntimeWarning` that counts them.

    Args:
        source: a path of a table (CSV, TSV, JSONL, Parquet, Arrow IPC), an Arrow table, a data frame (pandas, Polars),
            or an iterable of dicts, of `Example`s, of data classes, or of pairs (inputs, label) where inputs is a dict,
            a tuple by position, or the only input.
        label: column of the right answer (default: `label`, `expected`, `answer`, ..., if there is one).
        names: the program's inputs, for pairs. program: whose inputs and output the cells of a table become values of.
        columns: column by input, where they are named differently. limit: at most so many rows.

    Raises:
        DataError: no rows, or none that can be used; with the row and the column.
    """
    found = read_examples(source, label=label, names=names, program=program, columns=columns, limit=limit)
    for one in found.warnings:
        warnings.warn(one, RuntimeWarning, stacklevel=2)
    return found.examples


def read_examples(
    source: Any,
    *,
    label: str | None = None,
    names: Sequence[str] = (),
    program: Any = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Read:
    """As `examples_of`, with the rows that were left out as data in place of a warning. A `Read` passes as it is."""
    if isinstance(source, Read):
        return source
    types = _Types.of(program) if program is not None else _Types()
    names = list(names) or list(types.inputs)
    typed = is_table(source) and program is not None
    made: list[Example] = []
    refused: list[DataError] = []
    for number, row in _rows(source, limit):
        try:
            if isinstance(row, DataError):
                raise row
            one = _example(_renamed(row, columns or {}, number), number, label, names)
            made.append(types.cast_inputs(one) if typed else one)
        except DataError as error:
            refused.append(error)
    notes: list[str] = []
    if typed:
        made, wrong, notes = types.cast_labels(made)
        refused += wrong
    if not made:
        if refused:
            raise refused[0]
        raise DataError("There are no examples.", "Give at least one row.")
    return Read(made, tuple(refused), tuple(notes), len(made) + len(refused))


def is_table(source: Any) -> bool:
    """Whether cells of a source may be less than the values they stand for."""
    return isinstance(source, str | os.PathLike) or any(
        hasattr(source, name) for name in ("to_pylist", "to_dicts", "iterrows")
    )


# -- rows ----------------------------------------------------------------------------------------------------------


def _rows(source: Any, limit: int | None) -> Iterator[tuple[int, Any]]:
    """Numbered rows; one that cannot be read is its `DataError`."""
    rows: Iterable[Any]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        rows = _arrow_file(path).to_pylist() if path.suffix.lower() in _ARROW else _table_rows(path)
    elif hasattr(source, "to_pylist"):  # Arrow
        rows = source.to_pylist()
    elif hasattr(source, "to_dicts"):  # Polars
        rows = source.to_dicts()
    elif hasattr(source, "iterrows"):  # pandas, which has nan for a missing value
        rows = ({name: None if cell != cell else cell for name, cell in row.items()}
                for row in source.to_dict("records"))  # fmt: skip
    elif isinstance(source, Mapping):
        raise DataError("A mapping is no list of examples.", "Give a list of rows.")
    else:
        rows = source
    for number, row in enumerate(rows):
        if limit is not None and number >= limit:
            return
        yield number, row


def _table_rows(path: Path) -> Iterator[Any]:
    from thalweg.program.tables import open_table

    for row in open_table(path):
        yield row.error if row.values is None else dict(row.values)


def _arrow_file(path: Path) -> Any:
    from pyarrow import ArrowException, feather

    try:
        return feather.read_table(path)
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read as an Arrow file: {error}.", "Write it again.") from error


def _renamed(row: Any, columns: Mapping[str, str], number: int) -> Any:
    if not columns or not isinstance(row, Mapping):
        return row
    for column in columns.values():
        if column not in row:
            raise DataError(
                f"Row {number} has no column {column!r}; it has: {', '.join(map(str, row))}.",
                "Name one of those.", row=number, column=column,
            )  # fmt: skip
    return {**row, **{name: row[column] for name, column in columns.items()}}


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


# -- types ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Types:
    """The types of a program's inputs and output."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    output: TypePlan[Any] | None = None

    @classmethod
    def of(cls, program: Any) -> _Types:
        parameters = program.signature.parameters
        given = getattr(parameters, "parameters", parameters)
        try:
            hints = typing.get_type_hints(program.function, include_extras=True)
        except (NameError, TypeError):
            hints = {}
        output = getattr(program.signature, "output", None)
        if output is None and hints.get("return") is not None:
            try:
                output = plan(hints["return"])
            except Error:  # nothing a model could write; labels stay as they are
                output = None
        required = frozenset(name for name, one in given.items() if one.default is one.empty)
        return cls({name: hints.get(name, Any) for name in given}, required, output)

    def cast_inputs(self, example: Example) -> Example:
        from thalweg.program.tables import cast

        example.inputs([name for name in self.inputs if name in self.required])
        made = {
            name: cast(example.row[name], kind, row=example.number, column=name)
            for name, kind in self.inputs.items()
            if name in example.row
        }
        return dataclasses.replace(example, row={**example.row, **made})

    def cast_labels(self, examples: list[Example]) -> tuple[list[Example], list[DataError], list[str]]:
        """Examples with labels of the output type, and why others have none. Where not one label is of that type, the
        metric compares something else, and they all stay as they are."""
        if self.output is None or all(one.label is None for one in examples):
            return examples, [], []
        made: list[Example] = []
        wrong: list[DataError] = []
        for one in examples:
            try:
                made.append(dataclasses.replace(one, label=_cast_label(one.label, self.output)))
            except Error as error:
                what = f"Row {one.number}: the label {one.label!r:.60} is no answer of the program ({error.what})"
                wrong.append(DataError(f"{what}.", "Correct the label, or the output type.", row=one.number))
        if not made:
            what = wrong[0].what.partition(": ")[2]
            note = f"No label is of the program's output type, so the metric gets them as they are: {what}"
            return examples, [], [note]
        return made, wrong, []


def _cast_label(value: Any, output: TypePlan[Any]) -> Any:
    """A label as a value of a type. Raises `DataError` or another `Error` of the type."""
    annotation = output.annotation
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if annotation is str and isinstance(value, str):  # even one that is too long to be written
        return value
    try:
        output.to_json(value)
        return value
    except Error as error:
        first = error
    ways = [output.from_json, lambda item: _by_fields(item, annotation, output)]
    if isinstance(value, str):
        from thalweg.program.tables import cast

        ways += [
            lambda text: output.decode(text.strip()),
            lambda text: output.from_json(json.loads(text)),
            lambda text: _by_fields(json.loads(text), annotation, output),
            lambda text: output.from_json(cast(text, annotation)),
        ]
    for way in ways:
        try:
            return way(value)
        except (Error, ValueError, TypeError, RecursionError):
            continue
    raise first


def _by_fields(item: Any, annotation: Any, output: TypePlan[Any]) -> Any:
    """A value of a union of classes that was written without its class's name: the one whose fields fit."""
    if not isinstance(item, dict) or "type" in item:
        raise ValueError
    rest = {name: one for name, one in item.items() if name != "$type"}
    found = []
    for member in typing.get_args(annotation):
        name = getattr(member, "__name__", "")
        if item.get("$type", name) == name:
            try:
                found.append(output.from_json({"type": name, **rest}))
            except Error:
                continue
    if len(found) != 1:
        raise ValueError
    return found[0]
