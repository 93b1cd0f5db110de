"""Rows of a directory of text files: `path` (the file's name) and `text`, sorted by name.

Files that end in .txt, .eml or .md are taken; where there are none, every regular file that is not hidden. A file that
is not UTF-8 or may not be read is one broken row. Folders below are not entered. Cost: one open and read a row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from thalweg.errors import DataError
from thalweg.program.tables.row import CELL, UTF8, Row, broken, is_text

SUFFIXES = (".txt", ".eml", ".md")
NAMES = ("path", "text")


def text_files(path: Path) -> list[Path]:
    """The files that are rows of the directory."""
    files = [entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    texts = [file for file in files if file.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(f"The directory {path} has no files.", f"Put {', '.join(SUFFIXES)} files into it, one a row.")
    return sorted(texts or files, key=lambda file: file.name)


def fingerprint_of_files(files: Sequence[Path]) -> str:
    """Differs when a file was added, removed, renamed or changed."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        info = file.stat()
        digest.update(os.fsencode(file.name) + f"\0{info.st_size}\0{info.st_mtime_ns}\n".encode())
    return f"{len(files)}-{digest.hexdigest()}"


def directory_rows(files: Sequence[Path], wanted: Sequence[str]) -> Iterator[Row]:
    """Rows with the columns `wanted`; files are opened only for their text."""
    for index, file in enumerate(files):
        where = f"Row {index} ({file.name!a})"
        if not is_text(file.name):
            yield broken(index, f"{where} has a name that is not UTF-8.", "Rename the file.", "path")
            continue
        values: dict[str, object] = {"path": file.name}
        try:
            if "text" in wanted:
                if file.stat().st_size > CELL:
                    yield broken(index, f"{where} has more than {CELL} bytes.", "Split the file.", "text")
                    continue
                values["text"] = file.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            yield broken(index, f"{where} is not UTF-8 at byte {error.start}.", UTF8, "text")
        except OSError as error:
            what = f"{where} cannot be read: {error.strerror or error}."
            yield broken(index, what, "Check that it is there and may be read.", "text")
        else:
            yield Row(index, {name: values[name] for name in wanted})
