"""Which isolation this machine gives: the back ends from strongest to weakest, each tried once by running in it.

| back end     | layers                                       | needs                                            |
|--------------|----------------------------------------------|--------------------------------------------------|
| "bubblewrap" | bwrap's namespaces, Landlock if any, seccomp | `bwrap`, and user namespaces or root             |
| "namespaces" | own namespaces, Landlock if any, seccomp     | user namespaces, or root                         |
| "landlock"   | Landlock, seccomp                            | Linux 5.13; `stat` of files outside stays open   |
| "process"    | limits, audit hook: **no isolation**         | Linux or macOS                                   |

With "landlock" the code cannot change rights and times of its own files either: `shutil.copy` fails, `copyfile` works.
The first three need seccomp, so x86_64 or aarch64. On macOS only "process" exists, and memory is not limited there; on
Windows nothing exists and nothing runs (use WSL or a container).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from thalweg.errors import SandboxUnavailable
from thalweg.program.sandbox import bubblewrap, process
from thalweg.program.sandbox.launch import Backend, Limits, launch, working_folder

BACKENDS: tuple[Backend, ...] = ("bubblewrap", "namespaces", "landlock", "process")
STRONG: tuple[Backend, ...] = ("bubblewrap", "namespaces", "landlock")
PROBE_SECONDS = 10.0
REMEDY = (
    "Run on Linux with bubblewrap installed, user namespaces allowed, or a kernel from 5.13 on (Landlock); "
    'inside a container that already isolates, pass require="any".'
)


@dataclass(frozen=True)
class Probe:
    """What trying a back end gave: the layers that stood, or why it does not work."""

    layers: str = ""
    problem: str = ""


def choose(require: Literal["strong", "any"] = "strong", backend: Backend | Literal["auto"] = "auto") -> Backend:
    """The strongest back end that works here, or the one asked for if it does.

    Raises: `SandboxUnavailable` when none is as strong as required.
    """
    candidates = BACKENDS if backend == "auto" else (backend,)
    problems = []
    for name in candidates:
        if require == "strong" and name not in STRONG:
            problems.append(f"{name}: it isolates nothing, only limits")
            continue
        probe = probed(name)
        if not probe.problem:
            return name
        problems.append(f"{name}: {probe.problem}")
    what = "no back end isolates" if require == "strong" else "no back end runs"
    raise SandboxUnavailable(f"On this machine {what} generated code ({'; '.join(problems)}).", REMEDY)


def describe(require: Literal["strong", "any"] = "any", backend: Backend | Literal["auto"] = "auto") -> str:
    """The layers in force for what `choose` gives, joined by "+"."""
    return probed(choose(require, backend)).layers


@lru_cache(maxsize=16)
def probed(backend: Backend) -> Probe:
    """Run an empty program in the back end, once per process."""
    if os.name != "posix":
        return Probe(problem=f"there is none for {sys.platform}")
    if backend == "bubblewrap" and bubblewrap.executable() is None:
        return Probe(problem="`bwrap` is not on the path")
    if backend != "process" and not sys.platform.startswith("linux"):
        return Probe(problem="it needs Linux")
    limits = Limits(seconds=PROBE_SECONDS)
    with working_folder(backend) as folder:
        running = launch(backend, folder, limits, {"mode": "run", "source": "import json"})
        process.supervise([running], seconds=PROBE_SECONDS, output=4096)
    found = process.first_frames(running)
    if "D" in found:
        return Probe(layers=found["E"].decode("utf-8", "replace"))
    said = (found.get("J") or found.get("X") or bytes(running.read["stderr"])).decode("utf-8", "replace").strip()
    return Probe(problem=said.splitlines()[-1] if said else f"it ended with code {running.returncode}")


def entered(running: process.Process, found: Mapping[str, bytes], backend: Backend, reason: str) -> str:
    """The layers the process reported when it had entered. Raises `SandboxUnavailable` when it never did."""
    expected = probed(backend).layers
    if "E" not in found:
        if reason == "timeout":
            return expected
        said = (found.get("J") or bytes(running.read["stderr"])).decode("utf-8", "replace").strip()
        raise SandboxUnavailable(f"The {backend} back end failed to start: {said or 'no word'}.", REMEDY)
    layers = found["E"].decode("utf-8", "replace")
    if layers != expected:
        raise SandboxUnavailable(f"The {backend} back end came up as {layers}, not as {expected}.", REMEDY)
    return layers
