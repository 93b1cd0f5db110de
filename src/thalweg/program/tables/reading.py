"""Reads a table of any supported format as a stream of rows, in memory that does not grow with the table.

CSV goes through the standard `csv` module, JSONL line by line, Parquet batch by batch, a directory file by file. A row
that is broken becomes a `Row` with an `error`, because one bad line in a million must not cost the other rows; what
concerns the whole table is raised at opening. Each format has its own file (`csv_rows.py`, ...); this one chooses.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from thalweg.errors import DataError
from thalweg.program.tables.csv_rows import csv_names, csv_rows
from thalweg.program.tables.directory_rows import NAMES, directory_rows, fingerprint_of_files, text_files
from thalweg.program.tables.jsonl_rows import LOOKED_AT, jsonl_names, jsonl_rows
from thalweg.program.tables.parquet_rows import parquet_head, parquet_rows
from thalweg.program.tables.row import Row

KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
MIB = 2**20


@dataclass(frozen=True)
class Table:
    """A table that was found fit to read. Iterating reads it from the start, each time anew."""

    path: Path
    kind: str  # "csv", "tsv", "jsonl", "parquet" or "directory"
    columns: tuple[str, ...]  # those the rows carry; JSONL rows may have more where none were asked for
    rows: int | None  # None where counting would mean reading
    fingerprint: str  # differs when the content differs: size, time of change, hash of both ends
    _read: Callable[[], Iterator[Row]] = field(repr=False, compare=False)
    _limit: int | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Row]:
        try:
            yield from islice(self._read(), self._limit)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def open_table(
    path: str | os.PathLike[str], *, columns: Sequence[str] | None = None, limit: int | None = None
) -> Table:
    """Open a CSV, TSV, JSONL or Parquet file, or a directory of text files, for streaming.

    A directory has the columns `path` (the file's name) and `text`, one row for each `.txt`, `.eml` or `.md` file, or
    for each regular file that is not hidden where there are none of those, sorted by name. CSV cells stay strings.

    Args:
        path: the file or directory; the suffix tells the format.
        columns: the columns wanted, in this order; all by default.
        limit: at most so many rows, broken ones included.

    Raises:
        DataError: the table as a whole cannot be read, or a column asked for is not there.
    """
    path = Path(path)
    if limit is not None and limit < 0:
        raise DataError(f"The limit of rows is {limit}.", "Give a limit of 0 or more, or none.")
    try:
        info = path.stat()
        kind = _kind(path, info)
        files = text_files(path) if kind == "directory" else []
        fingerprint = fingerprint_of_files(files) if files else _fingerprint(path, info)
        names, rows = _head(path, kind, files)
    except OSError as error:
        raise _unreadable(path, error) from error
    wanted = _chosen(path, kind, names, columns)
    if rows is not None and limit is not None:
        rows = min(rows, limit)

    def read() -> Iterator[Row]:
        if kind == "directory":
            return directory_rows(files, wanted)
        if kind == "parquet":
            return parquet_rows(path, wanted)
        if kind == "jsonl":
            return jsonl_rows(path, wanted, rest=columns is None)
        return csv_rows(path, names, wanted, DELIMITERS[kind])

    return Table(path, kind, wanted, rows, fingerprint, read, limit)


def _head(path: Path, kind: str, files: Sequence[Path]) -> tuple[list[str], int | None]:
    """The names of all columns, and the number of rows where it is cheap to know."""
    if kind == "directory":
        return list(NAMES), len(files)
    if kind == "parquet":
        return parquet_head(path)
    return (jsonl_names(path) if kind == "jsonl" else csv_names(path, DELIMITERS[kind])), None


def _kind(path: Path, info: os.stat_result) -> str:
    if stat.S_ISDIR(info.st_mode):
        return "directory"
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise DataError(
            f"{path} has {found}, so its format is unknown.",
            f"Name a file that ends in {', '.join(KINDS)}, or a directory of text files.",
        )
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{path} is not a regular file.", "Write the rows to a file first, and name that.")
    if info.st_size == 0:
        raise DataError(f"{path} is empty.", "Check how it was made: even a table without rows names its columns.")
    return kind


def _chosen(path: Path, kind: str, names: Sequence[str], columns: Sequence[str] | None) -> tuple[str, ...]:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError(
            f"{path} has more than one column named {', '.join(map(repr, twice))}.",
            "Give every column its own name.",
            column=twice[0],
        )
    if columns is None:
        return tuple(names)
    if kind == "jsonl" and not names:  # every row looked at is broken: the rows will say so one by one
        return tuple(dict.fromkeys(columns))
    for name in columns:
        if name not in names:
            lower = {other.lower(): other for other in names}
            near = difflib.get_close_matches(name.lower(), lower, n=1)
            listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            looked = f" in its first {LOOKED_AT} rows" if kind == "jsonl" else ""
            raise DataError(
                f"{path} has no column {name!r}{looked}; its columns are: {listed}.",
                f"Did you mean {lower[near[0]]!r}?" if near else "Name one of those.",
                column=name,
            )
    return tuple(dict.fromkeys(columns))


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no table {path}.", "Check the path and the working directory.")
    if isinstance(error, PermissionError):
        return DataError(f"{path} may not be read: permission denied.", "Ask for read permission, or copy the table.")
    return DataError(f"{path} cannot be read: {error.strerror or error}.", "Check the disk, or copy the table.")


def _fingerprint(path: Path, info: os.stat_result) -> str:
    """Cheap for a table of any size, strong enough to notice that a resumed run has other rows."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        digest.update(file.read(MIB))
        file.seek(max(0, info.st_size - MIB))
        digest.update(file.read(MIB))
    return f"{info.st_size}-{info.st_mtime_ns}-{digest.hexdigest()}"
