"""Writes a table: atomically, and with bytes that depend on its rows alone.

Rows go to a temporary file beside the target, in groups of 4,096, which takes the target's name only when it is whole
and on disk; so a reader sees the old table or the new one, and a run that fails or is stopped leaves nothing half
done. How rows are split over calls of `write` changes no byte. Cost: 2 to 7 microseconds a small row.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from thalweg.errors import DataError
from thalweg.program.tables.column import Column
from thalweg.program.tables.encoding import CsvEncoder, JsonlEncoder, ParquetEncoder
from thalweg.program.tables.reading import DELIMITERS, KINDS

GROUP_ROWS = 4096
GROUP_BYTES = 64 * 2**20  # a group of long texts is cut sooner; counted row by row, so that bytes stay the same
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOTHING_LOST = "Nothing is lost: finished rows are in the journal, and the same command goes on from there."


class Encoder(Protocol):
    """Writes groups of encoded rows into an open file in one format."""

    def group(self, cells: Sequence[Sequence[Any]]) -> None:
        """Write rows: cells as `Column.encode` gives them."""
        ...

    def end(self) -> None:
        """Write what comes after the last group; does not close the file."""
        ...

    def drop(self) -> None:
        """Let go of a file that will not be kept."""
        ...


class TableWriter:
    """An open table: `write` rows, then `close`; or use it as a context manager, which aborts on an exception.

    A column that a row lacks is null; a name that is no column is an error. Null and `""` are told apart in Parquet and
    JSONL, and in CSV by quotes. A `write` that refuses a row has written none of its rows and may be repeated; one that
    fails on the disk has aborted the table.

    Args:
        path: the file to make; its suffix (.csv, .tsv, .jsonl, .ndjson, .parquet) tells the format.
        columns: names and kinds, in order.
        overwrite: whether a table of that name may be replaced, at closing.

    Raises:
        DataError: the place cannot be written, or a value does not fit its column (`row` and `column` say where).
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[Column], *, overwrite: bool = True) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        self.rows = 0  # accepted so far
        self._overwrite = overwrite
        self._buffer: list[list[Any]] = []
        self._bytes = 0
        _check_names(self.path, self.columns)
        check_writable(self.path, overwrite=overwrite)
        self._target = Path(os.path.realpath(self.path))  # a link stays a link
        self._temporary = _beside(self._target)
        try:
            self._file = open(self._temporary, "xb")  # noqa: SIM115 - closed by close() and abort()
            self._encoder = _encoder(self.path, self._file, self.columns)
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            raise _unwritable(self.path, error) from error
        self._open = True

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, in order."""
        self._require_open()
        encoded = [self._encode(row, self.rows + place) for place, row in enumerate(rows)]
        for cells in encoded:
            self._buffer.append(cells)
            self._bytes += sum(len(cell) for cell in cells if isinstance(cell, str))
            self.rows += 1
            if len(self._buffer) == GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        """Finish the file and give it its name. Closing twice does nothing more."""
        if not self._open:
            return
        if not self._overwrite and self._target.exists():
            self.abort()
            raise _exists(self.path)
        self._flush()
        try:
            self._encoder.end()
            self._file.flush()
            if self._target.exists():
                os.fchmod(self._file.fileno(), stat.S_IMODE(self._target.stat().st_mode))
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._target)
            self._open = False
        except OSError as error:
            self.abort()
            raise _unwritable(self.path, error) from error

    def abort(self) -> None:
        """Drop everything written and leave the target as it was. After `close` it does nothing."""
        if not self._open:
            return
        self._open = False
        self._buffer.clear()
        try:
            self._encoder.drop()
            with suppress(OSError):  # closing flushes, and so may meet the full disk again
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _encode(self, row: Mapping[str, Any], index: int) -> list[Any]:
        cells = [column.encode(row.get(column.name), index) for column in self.columns]
        if len(row) > len(cells) or any(column.name not in row for column in self.columns):
            names = {column.name for column in self.columns}
            for name in row:
                if name not in names:
                    what = f"Row {index} has the value {name!r}, but {self.path} has no such column."
                    raise DataError(what, f"Name one of: {', '.join(names)}.", row=index, column=str(name))
        return cells

    def _flush(self) -> None:
        if not self._buffer:
            return
        try:
            self._encoder.group(self._buffer)
        except OSError as error:
            self.abort()
            raise _unwritable(self.path, error) from error
        self._buffer = []
        self._bytes = 0

    def _require_open(self) -> None:
        if not self._open:
            raise DataError(f"The table {self.path} is closed.", "Write the rows before closing, or open a new writer.")


def check_writable(path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Raise `DataError` if a table could not be written at `path`. Call it before any work begins.

    Makes and removes an empty file in the directory, as nothing less tells for certain; leaves the target as it is.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS:
        raise DataError(
            f"{path} cannot be written: its format is unknown.", f"Use a name that ends in {', '.join(KINDS)}."
        )
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise DataError(f"{path} is a directory.", "Name a file in it.")
        if not target.parent.is_dir():
            raise DataError(f"There is no directory {target.parent}.", "Make it, or write elsewhere.")
        if target.exists():
            if not overwrite:
                raise _exists(path)
            if not target.is_file():
                raise DataError(f"{path} is not a regular file.", "Name another file.")
            os.close(os.open(target, os.O_WRONLY))  # replacing would succeed, but read-only means: keep
        probe = _beside(target)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_names(path: Path, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    if not names:
        raise DataError(f"{path} would have no columns.", "Give at least one column.")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path} would have two columns named {name!r}.", "Rename one of them.", column=name)


def _encoder(path: Path, file: Any, columns: Sequence[Column]) -> Encoder:
    kind = KINDS[path.suffix.lower()]
    if kind == "parquet":
        return ParquetEncoder(file, columns)
    return JsonlEncoder(file, columns) if kind == "jsonl" else CsvEncoder(file, columns, DELIMITERS[kind])


def _beside(target: Path) -> Path:
    """A new name in the target's directory, so that `os.replace` stays on one disk; hidden from `*.csv`."""
    return target.with_name(f".{target.name[:50]}.{secrets.token_hex(6)}.part")


def _exists(path: Path) -> DataError:
    return DataError(f"{path} exists already.", "Name another file, or allow overwriting.")


def _unwritable(path: Path, error: OSError) -> DataError:
    if error.errno in FULL:
        return DataError(f"{path} could not be written: the disk is full.", f"Make room. {NOTHING_LOST}")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        what = f"{path} may not be written: {error.strerror or 'permission denied'}."
        return DataError(what, "Ask for write permission, or write elsewhere.")
    reason = error.strerror or str(error)
    return DataError(f"{path} could not be written: {reason}.", f"Check the disk, or write elsewhere. {NOTHING_LOST}")
