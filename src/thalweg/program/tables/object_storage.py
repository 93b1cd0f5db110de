"""Tables in object storage: any `fsspec` URL as the input or the output of a table run.

A run works on local files: the input is fetched before it, the output is put there after it, whole, by one atomic put
(local file systems and others without it: under a temporary name, then renamed). The copies lie in the store's folder
under the URL's digest, so that an interrupted run finds them again. Needs the package for the URL's protocol (s3: the
extra `s3`). Cost: the table's size on the local disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from thalweg.errors import DataError
from thalweg.program.tables.reading import KINDS

ATOMIC = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")  # a put appears whole or not at all
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a URL such as ``s3://bucket/table.csv``, and no local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", os.fspath(path)) is not None


@dataclass
class Staged:
    """Local stand-ins of a run's tables.

    Args:
        input, output: local paths. target: URL of the output, None where it is local anyway.
    """

    input: Path
    output: Path
    target: str | None = None
    _left: list[Path] = field(default_factory=list)

    def publish(self) -> None:
        """Put the output where it belongs, whole.

        Raises:
            DataError: the storage refuses it; the local output stays, and the finished rows are in the journal.
        """
        if self.target is not None:
            _put(self.output, self.target)
            self._left.append(self.output)

    def clear(self) -> None:
        """Drop the local copies of what is elsewhere."""
        for path in self._left:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()


def staged(input: str, output: str, folder: str | os.PathLike[str]) -> Staged:
    """Local paths for the tables of a run; fetches the input and checks that the output can be written.

    Args:
        input, output: local paths or URLs. folder: where the copies lie (the store's).

    Raises:
        DataError: there is no such table, bucket or permission, or the protocol's package is missing.
    """
    made = Staged(Path(input), Path(output))
    if is_url(output):
        if input == output:
            raise DataError(f"{output} is the input too.", "Write the output to another place.")
        _check_target(output)
        made.target = output
        made.output = _local(output, folder)
    if is_url(input):
        made.input = _local(input, folder)
        _fetch(input, made.input)
        made._left.append(made.input)
    return made


def _local(url: str, folder: str | os.PathLike[str]) -> Path:
    place = Path(folder) / "staged" / hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    place.mkdir(parents=True, exist_ok=True)
    return place / (url.rstrip("/").rpartition("/")[2] or "table")


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    protocol = url.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise DataError(f"{url} needs the package fsspec.", "Install it: pip install 'thalweg[s3]'.") from error
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(protocol, "the package that fsspec names for it")
        raise DataError(f"{url} needs {package}, which is not installed.", f"Install it: pip install {package}.") from (
            error
        )
    except ValueError as error:
        raise DataError(f"{url}: there is no protocol {protocol!r}.", "Use s3://, gs://, or a local path.") from error


def _fetch(url: str, local: Path) -> None:
    """A copy of the table at `local`, whole; one that is there already and is as new and as large stays."""
    system, path = _system(url)
    try:
        info = system.info(path)
        if info["type"] == "directory":
            raise DataError(f"{url} is a folder.", "Name one table; a directory of texts must be local.")
        changed = _changed(info)
        if local.exists() and local.stat().st_size == info["size"] and local.stat().st_mtime == changed:
            return
        part = local.with_name(f".{local.name}.{secrets.token_hex(4)}.part")
        try:
            system.get_file(path, os.fspath(part))
            os.utime(part, (changed, changed))  # part of what tells a resumed run that the table is the same
            os.replace(part, local)
        finally:
            part.unlink(missing_ok=True)
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"There is no table {url}.", "Check the bucket and the key.") from error
    except Exception as error:
        raise _refused(url, "read", error) from error


def _check_target(url: str) -> None:
    """Raise where a table could not be put; makes and removes an empty object beside it."""
    if Path(url).suffix.lower() not in KINDS:
        raise DataError(
            f"{url} cannot be written: its format is unknown.", f"Use a name that ends in {', '.join(KINDS)}."
        )
    system, path = _system(url)
    probe = _beside(path)
    try:
        system.pipe_file(probe, b"")
        system.rm_file(probe)
    except FileNotFoundError as error:
        raise DataError(f"{url} cannot be written: there is no such bucket or folder.", "Make it first.") from error
    except Exception as error:
        raise _refused(url, "written", error) from error


def _put(local: Path, url: str) -> None:
    system, path = _system(url)
    protocol = url.partition("://")[0]
    try:
        if protocol in ATOMIC:
            system.put_file(os.fspath(local), path)
            return
        part = _beside(path)
        try:
            system.put_file(os.fspath(local), part)
            system.mv(part, path)
        except BaseException:
            with suppress(Exception):
                system.rm_file(part)
            raise
    except Exception as error:
        raise _refused(url, "written", error) from error


def _beside(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name[:50]}.{secrets.token_hex(6)}.part"


def _changed(info: dict[str, Any]) -> float:
    """Seconds since the epoch at which an object changed, rounded to whole ones; 0 where the storage does not tell."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        found = info.get(name)
        if isinstance(found, datetime):
            return float(int(found.timestamp()))
        if isinstance(found, int | float):
            return float(int(found))
    return 0.0


def _refused(url: str, what: str, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return DataError(
        f"{url} could not be {what}: {reason or type(error).__name__}.",
        "Check the address, the credentials and the permissions; finished rows are in the journal.",
    )
