"""What makes measurements of a model belong to one machine, and the running of the probe that makes them.

The fingerprint changes with the processor, its instruction sets, and the engine's libraries; notes kept under it then
no longer apply and are made anew. The probe runs in a process of its own, so that a fault of the engine ends only it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

QUICK_SECONDS, FULL_SECONDS = 40, 900  # a probe that takes longer hangs, or the machine is too busy to tell

_LATE = "no answer"


@cache
def fingerprint() -> str:
    """Of the processor, its instruction sets and the engine's libraries (24 hex digits)."""
    parts = [platform.machine(), *_processor(), library_version()]
    for path in _libraries():
        stat = path.stat()
        parts += [path.name, str(stat.st_size), str(stat.st_mtime_ns)]
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()


def library_version() -> str:
    try:
        return "llama-cpp-python " + metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return "llama-cpp-python ?"


def run_probe(path: Path, accelerate: Sequence[bool], *, quick: bool) -> dict[bool, dict[str, Any]]:
    """What `probe` says of each setting. A setting that failed has a ``note`` that says how, and nothing else.

    Settings run in one process; those behind one that ended the process are tried in a new one. Where no process
    could be started, or it did not answer in time, the note comes with ``untried``.
    """
    results: dict[bool, dict[str, Any]] = {}
    waiting = list(accelerate)
    while waiting:
        try:
            said, ending = _run(path, waiting, quick)
        except OSError as error:
            note = f"could not be tried ({error.strerror or error})"
            return results | {setting: {"note": note, "untried": True} for setting in waiting}
        for result in said:
            setting = bool(result.pop("accelerate"))
            results[setting] = {"note": result["error"]} if "error" in result else result
        waiting = [setting for setting in waiting if setting not in results]
        if waiting:
            results[waiting.pop(0)] = {"note": ending, **({"untried": True} if ending.startswith(_LATE) else {})}
    return results


def _run(path: Path, accelerate: Sequence[bool], quick: bool) -> tuple[list[dict[str, Any]], str]:
    """The objects printed, and in words how the process ended."""
    if not sys.executable:
        raise OSError("this Python does not know its own program")
    command = [sys.executable, "-P", "-m", "thalweg.models.probe", str(path), "--accelerate"]
    command += [str(int(setting)) for setting in accelerate] + ["--quick"] * quick
    package = str(Path(__file__).parents[2])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    limit = QUICK_SECONDS if quick else FULL_SECONDS
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, env=environment, check=False
        )
        output, errors, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        return _objects(late.stdout or b""), f"{_LATE} within {limit} s"
    if code < 0:
        return _objects(output), f"faults ({_signal(-code)})"
    last = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return _objects(output), f"fails ({last or f'exit code {code}'})"


def _objects(output: bytes) -> list[dict[str, Any]]:
    found = []
    for line in output.decode(errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and "accelerate" in value:
            found.append(value)
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _processor() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.processor()]
    first = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            first.setdefault(key.strip(), value.strip())
    return [first.get("model name") or first.get("CPU part", ""), first.get("flags") or first.get("Features", "")]


def _libraries() -> list[Path]:
    own = os.environ.get("LLAMA_CPP_LIB_PATH")
    spec = None if own else find_spec("llama_cpp")
    places = [own] if own else list(spec.submodule_search_locations or ()) if spec else []
    return sorted(
        path
        for place in places
        for folder in (Path(place), Path(place) / "lib")
        for pattern in ("*llama.*", "*ggml*")
        for path in folder.glob(pattern)
        if path.suffix in (".so", ".dylib", ".dll")
    )
