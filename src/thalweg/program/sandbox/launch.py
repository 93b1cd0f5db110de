"""Start one jailed process: which layers its back end has, what it may see, and its limits, as data for `child/`."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from thalweg.program.sandbox import bubblewrap, process
from thalweg.program.sandbox.places import places

Backend = Literal["bubblewrap", "namespaces", "landlock", "process"]
LAYERS: dict[Backend, tuple[str, ...]] = {
    "bubblewrap": ("bubblewrap", "landlock", "seccomp"),
    "namespaces": ("namespaces", "landlock", "seccomp"),
    "landlock": ("landlock", "seccomp"),
    "process": ("audit hook only",),
}
FLAGS = ("-I", "-S", "-E", "-B", "-X", "utf8")
INSIDE_FOLDER = "/sandbox"
OPEN_FILES, MOST_ENTRIES, DEEPEST = 64, 10_000, 100
FIRST_USER = 1 << 30  # as root each run gets a user number of its own, far from those of people and services
MODULES = {
    "run": ("channel", "seccomp", "landlock", "namespaces", "jail", "program"),
    "call": ("channel", "seccomp", "landlock", "namespaces", "jail", "program"),
    "host": ("channel", "seccomp", "landlock", "namespaces", "jail", "program", "wire", "remote", "host"),
    "judge": ("channel", "seccomp", "landlock", "namespaces", "jail", "program", "wire", "remote", "judge"),
}


@dataclass(frozen=True)
class Limits:
    """See `Sandbox` for the units."""

    seconds: float = 5.0
    memory: int = 512 * 2**20
    disk: int = 64 * 2**20
    threads: int = 32
    packages: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def launch(
    backend: Backend,
    folder: str,
    limits: Limits,
    request: Mapping[str, Any],
    *,
    stdin: bytes = b"",
    keep: Sequence[int] = (),
) -> process.Process:
    """Start the interpreter in the back end with `request` (its "mode" says which of `MODULES` it runs)."""
    found = places(limits.packages)
    nonce = secrets.token_hex(16).encode()
    jail = _jail(backend, folder, limits)
    names = MODULES[request["mode"]]
    if backend == "process":
        names = ("channel", "audit", *(name for name in names if name not in ("channel", *LAYERED)))
    if limits.packages:
        names = ("packages", *names)
    full = {
        **request,
        "modules": process.compiled(*names),
        "nonce": nonce,
        "jail": jail,
        "packages": dict(found.packages),
        "environment": _environment(folder),
    }
    before = bubblewrap.command(jail) if backend == "bubblewrap" else []
    return process.start([*before, found.interpreter, *FLAGS], full, stdin=stdin, keep=keep, nonce=nonce)


LAYERED = ("seccomp", "landlock", "namespaces")


@contextlib.contextmanager
def working_folder(backend: Backend) -> Iterator[str]:
    """The folder of a run: a file system of its own where the back end mounts one, else a temporary folder here."""
    if backend in ("bubblewrap", "namespaces"):
        yield INSIDE_FOLDER
        return
    folder = os.path.realpath(tempfile.mkdtemp(prefix="sandbox-"))
    try:
        yield folder
    finally:
        _remove(folder)


def watcher(backend: Backend, folder: str, limits: Limits, started: Sequence[process.Process]) -> Callable[[], str]:
    """A look at what the kernel does not limit in every back end: threads, and the folder where it is one of ours."""
    measured = backend in ("landlock", "process")
    beside = {"bubblewrap": 2, "namespaces": 1}.get(backend, 0)  # processes of the back end itself

    def watch() -> str:
        if measured and _size(folder, limits.disk) > limits.disk:
            return f"its folder grew past {limits.disk} bytes, {MOST_ENTRIES} entries or {DEEPEST} levels"
        if any(_threads(one.popen.pid) > limits.threads + beside for one in started):
            return f"it had more than {limits.threads} threads"
        return ""

    return watch


def _jail(backend: Backend, folder: str, limits: Limits) -> dict[str, Any]:
    found = places(limits.packages)
    cpu = max(1, math.ceil(limits.seconds))
    ceilings: dict[str, Any] = {
        "CORE": 0,
        "CPU": (cpu, cpu + 1),
        "FSIZE": limits.disk,
        "NOFILE": OPEN_FILES,
        "AS": limits.memory,
    }
    if backend == "namespaces":
        # Elsewhere the kernel counts all threads of the user, or (root) none; `watcher` counts everywhere.
        ceilings["NPROC"] = limits.threads + (os.getuid() != 0)  # who stays behind counts, unless it is another user
    return {
        "layers": LAYERS[backend],
        "folder": folder,
        "files": dict(limits.files),
        "readable": found.readable,
        "links": found.links,
        "masked": found.masked,
        "unmasked": found.unmasked,
        "visible": found.visible if backend in ("landlock", "process") else (*found.readable, *found.unmasked),
        "outside_visible": backend == "landlock",
        "devices": found.devices,
        "disk": limits.disk,
        "limits": ceilings,
        "user": FIRST_USER + secrets.randbelow(1 << 29),
    }


def _environment(folder: str) -> dict[str, str]:
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "OPENBLAS_NUM_THREADS": "1",  # a thread's arena counts as address space
        "OMP_NUM_THREADS": "1",
    }


def _threads(pid: int) -> int:
    """Threads of the process and of those below it (which are few: the layers refuse to start any)."""
    total, todo = 0, [pid]
    while todo and total < 10_000:
        one = todo.pop()
        with contextlib.suppress(OSError):
            total += len(os.listdir(f"/proc/{one}/task"))
            with open(f"/proc/{one}/task/{one}/children") as children:
                todo += [int(child) for child in children.read().split()]
    return total


def _size(folder: str, most: int) -> int:
    """Bytes on disk below a folder, links not followed; more than `most` once that, or another bound, is passed."""
    total, entries, todo = 0, 0, [(folder, 0)]
    while todo:
        path, depth = todo.pop()
        with contextlib.suppress(OSError), os.scandir(path) as found:
            for entry in found:
                entries += 1
                if entries > MOST_ENTRIES or total > most or depth > DEEPEST:
                    return max(total, most + 1)
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((entry.path, depth + 1))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _remove(folder: str) -> None:
    """Remove what the code left: folders without rights, or deeper than a path reaches, are no obstacle.

    Each folder's own folders are moved up beside it first, so that no path grows longer than two names.
    """
    todo = [folder]
    while todo:
        path = todo.pop()
        with contextlib.suppress(OSError):
            os.chmod(path, stat.S_IRWXU)
            with os.scandir(path) as found:
                entries = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in found]
            for entry, is_folder in entries:
                with contextlib.suppress(OSError):
                    if not is_folder:
                        os.unlink(entry)
                        continue
                    os.chmod(entry, stat.S_IRWXU)
                    above = entry if path == folder else os.path.join(folder, secrets.token_hex(8))
                    if above != entry:
                        os.rename(entry, above)
                    todo.append(above)
            if path != folder:
                os.rmdir(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
