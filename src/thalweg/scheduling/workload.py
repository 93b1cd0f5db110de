"""`WorkloadRequest`: one model call of a known or recorded workload, and its files (JSON lines, Arrow, Parquet).

What planners, simulators and load generators share: token ids and what is known of a call before it runs. Made from
real prompts, read from a trace, or drawn by `standard_workloads`. No text and no answers, so traces can be passed on.
Cost: a request takes about 36 bytes a token in memory, 4 in Arrow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class WorkloadRequest:
    """One call.

    Args:
        id: unique in its workload.
        tokens: ids of the prompt.
        expected: tokens the answer is expected to have.
        objective: ``latency`` somebody waits for this call; ``throughput`` the whole counts.
        deadline: seconds after `arrival` by which the answer is wanted; 0 none.
        program, session: which program made the call, in which of its runs.
        after: ids of calls whose answers this one needs.
        model, adapter, partition: prompts are shared only where all three are equal.
        arrival: seconds after the workload's beginning.
    """

    id: str
    tokens: tuple[int, ...]
    expected: int = 0
    objective: Literal["throughput", "latency"] = "throughput"
    deadline: float = 0.0
    program: str = ""
    session: str = ""
    after: tuple[str, ...] = ()
    model: str = ""
    adapter: str = ""
    partition: str = ""
    arrival: float = 0.0

    @property
    def key(self) -> Hashable:
        """What prefix caches are kept apart by."""
        return self.model, self.adapter, self.partition


def save(requests: Iterable[WorkloadRequest], path: str | os.PathLike[str]) -> int:
    """Write a workload; ``.jsonl``, ``.arrow`` or ``.parquet`` by the path's suffix. Returns how many were written.

    Raises:
        DataError: another suffix, or the file cannot be written.
    """
    kind, path = _kind(path), Path(path)
    count = 0
    try:
        if kind == ".jsonl":
            with path.open("w", encoding="utf-8") as file:
                for request in requests:
                    file.write(json.dumps({one.name: getattr(request, one.name) for one in fields(request)}) + "\n")
                    count += 1
            return count
        table = to_arrow(requests)
        if kind == ".arrow":
            import pyarrow as pa

            with pa.OSFile(os.fspath(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        else:
            import pyarrow.parquet as pq

            pq.write_table(table, path)
        return table.num_rows
    except OSError as error:
        raise DataError(f"{os.fspath(path)!r} cannot be written: {error}.", "Choose another path.") from error


def load(path: str | os.PathLike[str]) -> Iterator[WorkloadRequest]:
    """Read a workload, request by request.

    Raises:
        DataError: no such file, another suffix, or a row that is no request.
    """
    kind = _kind(path)
    if not Path(path).is_file():
        raise DataError(f"There is no workload {os.fspath(path)!r}.", "Correct the path.")
    return _jsonl(Path(path)) if kind == ".jsonl" else _columnar(Path(path), kind)


def to_arrow(requests: Iterable[WorkloadRequest]) -> pa.Table:
    """A table with one column a field."""
    import pyarrow as pa

    held = list(requests)
    try:
        return pa.table({name: pa.array([getattr(one, name) for one in held], kind) for name, kind in _types()})
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"The workload has a value of another type: {error}.", "Token ids are unsigned.") from error


def from_arrow(table: pa.Table, *, first: int = 0) -> Iterator[WorkloadRequest]:
    """The requests of a table; columns that are missing take their defaults, others are left out.

    Raises:
        DataError: a row that is no request, or no columns ``id`` and ``tokens``.
    """
    names = [name for name, _ in _types() if name in table.column_names]
    for name in ("id", "tokens"):
        if name not in names:
            raise DataError(f"The workload has no column {name!r}.", "Write it with `save`.", column=name)
    columns = [table.column(name).to_pylist() for name in names]
    for row, values in enumerate(zip(*columns, strict=True), start=first):
        yield checked(dict(zip(names, values, strict=True)), row=row)


def checked(values: dict[str, Any], *, row: int | None = None) -> WorkloadRequest:
    """A request from plain data, all its types checked.

    Raises:
        DataError: it is none; says which field.
    """
    where = "" if row is None else f" of row {row}"

    def wrong(name: str, what: str) -> DataError:
        remedy = f"Correct `{name}`; the fields are: {', '.join(_FIELDS)}."
        return DataError(f"Field `{name}`{where} {what}.", remedy, row=row, column=name)

    for name in values:
        if name not in _FIELDS:
            raise wrong(name, "is not known")
    for name in ("id", "tokens"):
        if name not in values:
            raise wrong(name, "is missing")
    given = {name: value for name, value in values.items() if value is not None}
    for name in ("id", "tokens"):
        if name not in given:
            raise wrong(name, "is empty")
    for name, value in given.items():
        kind = _FIELDS[name]
        if kind is tuple:
            if not isinstance(value, list | tuple):
                raise wrong(name, f"is {type(value).__name__}, not a list")
            inner = int if name == "tokens" else str
            if not all(type(one) is inner for one in value) or (inner is int and any(one < 0 for one in value)):
                raise wrong(name, "holds something else than " + ("token ids" if inner is int else "ids of requests"))
            given[name] = tuple(value)
        elif kind is float and type(value) in (int, float):
            if not 0 <= value < float("inf"):
                raise wrong(name, f"is {value}, not a number of seconds")
            given[name] = float(value)
        elif type(value) is not kind:
            raise wrong(name, f"is {type(value).__name__}, not {kind.__name__}")
    if given.get("expected", 0) < 0:
        raise wrong("expected", f"is {given['expected']}, not a number of tokens")
    if given.get("objective", "latency") not in ("throughput", "latency"):
        raise wrong("objective", f"is {given['objective']!r}, neither throughput nor latency")
    return WorkloadRequest(**given)


_FIELDS: dict[str, type] = {
    "id": str, "tokens": tuple, "expected": int, "objective": str, "deadline": float, "program": str, "session": str,
    "after": tuple, "model": str, "adapter": str, "partition": str, "arrival": float,
}  # fmt: skip


def _types() -> Iterator[tuple[str, Any]]:
    import pyarrow as pa

    simple = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    for name, kind in _FIELDS.items():
        yield name, simple.get(kind) or pa.list_(pa.uint32() if name == "tokens" else pa.string())


def _kind(path: str | os.PathLike[str]) -> str:
    kind = Path(path).suffix
    if kind not in (".jsonl", ".arrow", ".parquet"):
        raise DataError(f"{os.fspath(path)!r} names no kind of workload.", "End it in .jsonl, .arrow or .parquet.")
    return kind


def _jsonl(path: Path) -> Iterator[WorkloadRequest]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for row, line in enumerate(file):
            try:
                values = json.loads(line)
                if not isinstance(values, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                what = f"Row {row} of {path} is no JSON object: {error}."
                raise DataError(what, "Write one object a line.", row=row) from None
            yield checked(values, row=row)


def _columnar(path: Path, kind: str) -> Iterator[WorkloadRequest]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        if kind == ".arrow":
            with pa.memory_map(os.fspath(path)) as source:
                reader = pa.ipc.open_file(source)
                for i in range(reader.num_record_batches):
                    table = pa.Table.from_batches([reader.get_batch(i)])
                    yield from from_arrow(table, first=row)
                    row += table.num_rows
        else:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=8192):
                yield from from_arrow(pa.Table.from_batches([batch]), first=row)
                row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is no {kind[1:]} file: {error}.", "Write it with `save`.") from error
