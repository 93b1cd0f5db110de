"""The model cache on disk: prepared weights, digests of files, measurements. Everything in it can be made again.

Files are replaced in one step (temporary file in the same folder, fsync, rename), so that a reader, a second process
or a cut of power finds the old content or the new one, never half of it. Whoever makes something costly holds `lock`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thalweg.errors import ModelError

try:
    import fcntl
except ImportError:  # Windows: unique temporary names alone keep files whole, work may be done twice
    fcntl = None


def home() -> Path:
    """The cache folder: THALWEG_HOME, else ``thalweg`` in XDG_CACHE_HOME or ``~/.cache``. Not created here."""
    own = os.environ.get("THALWEG_HOME")
    if own:
        return Path(own).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path("~/.cache").expanduser()) / "thalweg"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write to; it becomes `path` when the block ends well and is gone when it does not.

    Raises:
        ModelError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        try:
            yield Path(name)
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path.parent, error.strerror or str(error)) from error


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` with ``.lock`` against other processes and threads. What a killed holder left is removed."""
    place = path.with_name(f"{path.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        file = open(place, "a")  # noqa: SIM115 - closed below, which releases the lock
    except OSError as error:
        raise cannot_write(path.parent, error.strerror or str(error)) from error
    with file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
                for left in path.parent.glob(f".{path.name}.*.part"):
                    left.unlink(missing_ok=True)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none or it is damaged: it can be made again."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_json(path: Path, record: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def digest_of(path: Path) -> str:
    """blake2b-128 of a file's content, hashed once: kept under `home()` by path, size and time of change."""
    stat = path.stat()
    key = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    place = hashlib.blake2b(str(key[0]).encode(), digest_size=10).hexdigest()
    note = home() / "digests" / f"{place}.json"
    record = read_json(note)
    if record.get("key") == key and isinstance(record.get("digest"), str):
        return record["digest"]
    digest = hash_file(path)
    write_json(note, {"key": key, "digest": digest})
    return digest


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def cannot_write(folder: Path, reason: str) -> ModelError:
    what = f"Cannot write in the model cache {folder} ({reason})."
    return ModelError(what, "Free some space, or set THALWEG_HOME to a folder that can be written.")
