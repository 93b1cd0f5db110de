"""Trial of a source by tests: the code in one sandboxed process, the tests in another, messages between them.

The code never holds the tests, their expected values or the way their outcome is told, so it can neither read nor forge
them: patching `AssertionError`, walking frames or leaving early changes nothing but its own process. When it ends or
hangs, the tests that are left go on in a fresh pair. Cost: two starts, side by side.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from thalweg.errors import BudgetExceeded, GeneratedCodeError
from thalweg.program.sandbox import backends, process
from thalweg.program.sandbox.execution import Check, Report
from thalweg.program.sandbox.launch import Backend, Limits, launch, watcher, working_folder

if TYPE_CHECKING:
    from thalweg.program.sandbox.sandbox import Sandbox

MOST_PAIRS = 4


def trial(sandbox: Sandbox, source: str, tests: str) -> Report:
    """See `Sandbox.test`."""
    limits = sandbox.limits()
    backend = backends.choose(sandbox.require, sandbox.via)
    began = time.monotonic()
    checks: dict[int, Check] = {}
    names: list[str] = []
    stdout, stderr = "", ""
    for _ in range(MOST_PAIRS):
        code, judge, reason = _pair(backend, limits, sandbox.output, source, tests, skip=len(checks))
        stdout += code.read["stdout"].decode("utf-8", "replace")
        stderr += code.read["stderr"].decode("utf-8", "replace")
        names, decided, finished = _outcomes(backend, code, judge, reason)
        checks.update({check[0]: Check(names[check[0]], *check[1:]) for check in decided})
        if finished or len(checks) == len(names):
            break
    for index, name in enumerate(names):
        checks.setdefault(index, Check(name, "unreached", "earlier tests used up the time or ended the program"))
    layers = backends.probed(backend).layers
    ordered = tuple(checks[index] for index in sorted(checks))
    return Report(ordered, time.monotonic() - began, layers, stdout[: sandbox.output], stderr[: sandbox.output])


def _pair(
    backend: Backend, limits: Limits, output: int, source: str, tests: str, *, skip: int
) -> tuple[process.Process, process.Process, str]:
    """Run the tests from `skip` on. Returns the code's process, the tests' process, and why they were stopped."""
    to_code, from_tests = os.pipe()
    to_tests, from_code = os.pipe()
    ends = {"code": (to_code, from_code), "tests": (to_tests, from_tests)}
    started: list[process.Process] = []
    with working_folder(backend) as folder, working_folder(backend) as other:
        try:
            for side, request in (
                ("code", {"mode": "host", "source": source}),
                ("tests", {"mode": "judge", "tests": tests, "skip": skip}),
            ):
                place = folder if side == "code" else other
                wired = {**request, "wire": ends[side]}
                started.append(launch(backend, place, limits, wired, keep=ends[side]))
        except BaseException:
            process.supervise(started, seconds=0, output=0)
            raise
        finally:
            for descriptor in (to_code, from_tests, to_tests, from_code):
                os.close(descriptor)
        watch = watcher(backend, folder, limits, started[:1])
        reason = process.supervise(started, seconds=limits.seconds, output=output, watch=watch, until=started[1])
    return started[0], started[1], reason


Outcome = tuple[int, Any, str]  # index, status, message


def _outcomes(
    backend: Backend, code: process.Process, judge: process.Process, reason: str
) -> tuple[list[str], list[Outcome], bool]:
    """The tests' names, the outcomes that are known, and whether a further pair would learn nothing."""
    frames = list(process.frames(judge))
    found = process.first_frames(judge)
    backends.entered(judge, found, backend, reason)
    if "P" in found:
        where = found["P"].decode("utf-8", "replace")
        raise GeneratedCodeError(f"The tests do not parse, {where}.", "Correct the tests.", kind="syntax")
    if "N" not in found:
        raise BudgetExceeded("The tests' process did not start in time.", "Raise `seconds` or `memory`.")
    names = json.loads(found["N"])
    if not names:
        raise GeneratedCodeError(
            "The tests hold no test.", "Write top-level asserts, or functions named test_*.", kind="result"
        )
    backends.entered(code, process.first_frames(code), backend, reason)
    decided: list[Outcome] = [tuple(json.loads(payload)) for kind, payload in frames if kind == "R"]
    if "D" in found:
        return names, decided, True
    status, message = ("timeout", "no answer in time") if reason == "timeout" else ("error", reason or _end_of(code))
    begun = [int(payload) for kind, payload in frames if kind == "S"]
    if begun and begun[-1] not in [index for index, *_ in decided]:
        return names, [*decided, (begun[-1], status, f"{message} during this test")], False
    known = {index for index, *_ in decided}
    rest = [(index, status, f"{message} before this test") for index in range(len(names)) if index not in known]
    return names, [*decided, *rest], True


def _end_of(code: process.Process) -> str:
    left = code.returncode or 0
    signal = -left if left < 0 else left - 128 if left > 128 else 0
    if signal and signal != 9:
        return f"the program was ended by signal {signal}"
    return "the program closed its connection" if signal else f"the program left with code {left}"
