"""One process at a run: a file lock in the store's folder, let go by the kernel however its holder ends.

A killed process leaves no stale lock, and nothing has to beat or time out. The file goes when the run is over; whoever
locks a file that has just gone notices (another inode stands at its place) and tries again. Cost: 20 microseconds.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from weakref import WeakSet

from thalweg.errors import StoreError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

_held: WeakSet[RunLock] = WeakSet()


class RunLock:
    """The lock of a run. Not reentrant: one object a holder."""

    def __init__(self, folder: Path, run: str) -> None:
        name = hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        self.file = folder / "locks" / f"{name}.lock"
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take it if nobody has it; False where somebody does."""
        if fcntl is None:
            warnings.warn("This system has no flock: two processes at one run are not kept apart.", RuntimeWarning)
            return True
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(self.file).st_ino:
                    self._fd = fd
                    _held.add(self)
                    return True
            except BlockingIOError:
                os.close(fd)
                return False
            except FileNotFoundError:  # gone between opening and locking
                pass
            os.close(fd)

    def release(self) -> None:
        if self._fd is not None:
            self.file.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def is_held(self) -> bool:
        """Whether anybody has it now, in this process or another."""
        if self._fd is not None:
            return True
        if fcntl is None or not self.file.exists():
            return False
        try:
            fd = os.open(self.file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    def _open(self) -> int:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self.file} cannot be made ({error.strerror}).", "Choose a store on a disk that can be written."
            ) from error


def _forget_in_child() -> None:
    """A forked child works on none of its parent's runs: closing its copies leaves the locks with the parent."""
    for one in list(_held):
        if one._fd is not None:
            os.close(one._fd)
            one._fd = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
