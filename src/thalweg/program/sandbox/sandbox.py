"""`Sandbox`: run generated Python where it can reach nothing but its own folder, and learn how it ended.

Choose it for every piece of code that a model wrote: programs, functions, checkers. Which layers hold it depends on the
machine (see `backends.py`); by default it refuses to run where nothing isolates. Cost: about 30 ms a run.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from thalweg.errors import BudgetExceeded, GeneratedCodeError
from thalweg.program.sandbox import backends, process
from thalweg.program.sandbox.execution import Execution, Report, Status
from thalweg.program.sandbox.launch import Backend, Limits, launch, watcher, working_folder

CPU_SIGNAL = 24  # SIGXCPU


@dataclass(frozen=True)
class Sandbox:
    """A place to run generated Python in. Nothing in it is shared between runs.

    Args:
        seconds: wall-clock time of a run; as much processor time. The end is a kill.
        memory: bytes of address space of the process.
        output: bytes kept of stdout and of stderr each; the rest is dropped (`truncated`).
        disk: bytes its folder may hold, also the largest size of a file.
        threads: threads at a time. Processes other than the first are always refused.
        files: name -> content, placed into its folder, from which Python files can be imported.
        packages: installed packages it may import, by import name, dependencies too; the standard library always.
        require: "strong" refuses where only the audit hook holds the code (no isolation); "any" accepts that.
        via: the back end to use: "bubblewrap", "namespaces", "landlock", "process"; "auto" takes the strongest.
    """

    seconds: float = 5.0
    memory: int = 512 * 2**20
    output: int = 100_000
    disk: int = 64 * 2**20
    threads: int = 32
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    require: Literal["strong", "any"] = "strong"
    via: Backend | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"seconds={self.seconds!r}; give a positive number of seconds")
        for name, least in (("memory", 64 * 2**20), ("output", 0), ("disk", 4096), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r}; give at least {least}")
        if self.via != "auto" and self.via not in backends.BACKENDS:
            raise ValueError(f"via={self.via!r}; choose auto or one of {', '.join(backends.BACKENDS)}")
        if self.require not in ("strong", "any"):
            raise ValueError(f'require={self.require!r}; choose "strong" or "any"')
        if isinstance(self.packages, str):
            raise ValueError(f"packages={self.packages!r}; give a tuple of import names")

    def backend(self) -> str:
        """The layers that hold the code here, as "bubblewrap+landlock+seccomp".

        Raises: `SandboxUnavailable` when none is as strong as required.
        """
        return backends.describe(self.require, self.via)

    def run(self, source: str, *, stdin: str | bytes = "", files: Mapping[str, str | bytes] | None = None) -> Execution:
        """Run a program to its end. What it does wrong is told by the `Execution`, not raised.

        Raises: `SandboxUnavailable` when this machine cannot hold it as required.
        """
        return self._run({"mode": "run", "source": source}, stdin=stdin, files=files)[0]

    def call(self, source: str, function: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call one function of the source, in the sandbox. Arguments and result are JSON (a tuple comes back a list).

        Raises: `GeneratedCodeError` when the code raises, ends early, or its result has no JSON form;
        `BudgetExceeded` when it runs out of time, memory or another limit; `SandboxUnavailable`.
        """
        try:
            arguments = json.dumps([args, kwargs])
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"The arguments of `{function}` have no JSON form: {error}. Pass JSON values.") from None
        request = {"mode": "call", "source": source, "function": function, "arguments": arguments}
        execution, value = self._run(request)
        if value is not None and execution.status == "ok":
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(value)
        raise _error_of(execution, f"`{function}`")

    def test(self, source: str, tests: str) -> Report:
        """Try the source with tests, each by itself: top-level asserts and calls, `test_*` functions, `Test*` classes.

        The tests see the source's names, also as the module `program`. They run in a sandboxed process of their own and
        reach the code by messages: the code never sees a test, and cannot make one pass but by its answers.

        Raises: `GeneratedCodeError` when the tests do not parse or hold no test; `SandboxUnavailable`.
        """
        from thalweg.program.sandbox.trial import trial

        return trial(self, _source(source), _source(tests))

    def limits(self, files: Mapping[str, str | bytes] | None = None) -> Limits:
        """The limits of a run, with the files it starts with."""
        placed = {**self.files, **(files or {})}
        return Limits(
            seconds=self.seconds,
            memory=self.memory,
            disk=self.disk,
            threads=self.threads,
            packages=tuple(self.packages),
            files={_file_name(name): _bytes(content) for name, content in placed.items()},
        )

    def _run(
        self, request: dict[str, Any], *, stdin: str | bytes = "", files: Mapping[str, str | bytes] | None = None
    ) -> tuple[Execution, bytes | None]:
        request["source"] = _source(request["source"])
        limits = self.limits(files)
        backend = backends.choose(self.require, self.via)
        began = time.monotonic()
        with working_folder(backend) as folder:
            running = launch(backend, folder, limits, request, stdin=_bytes(stdin))
            watch = watcher(backend, folder, limits, [running])
            reason = process.supervise([running], seconds=self.seconds, output=self.output, watch=watch)
        return _execution(running, backend, reason, time.monotonic() - began)


def run_python(source: str, *, stdin: str | bytes = "", **settings: Any) -> Execution:
    """Run a program in a `Sandbox` with these settings."""
    return Sandbox(**settings).run(source, stdin=stdin)


def _execution(
    running: process.Process, backend: Backend, reason: str, seconds: float
) -> tuple[Execution, bytes | None]:
    found = process.first_frames(running)
    layers = backends.entered(running, found, backend, reason)
    code = running.returncode
    raised = _exception(found["X"]) if "X" in found else None
    left = int(found["D"]) if found.get("D", b"").isdigit() and len(found["D"]) < 12 else None
    status, reason = _status(raised, left, code, reason)
    execution = Execution(
        stdout=running.read["stdout"].decode("utf-8", "replace"),
        stderr=running.read["stderr"].decode("utf-8", "replace") + (raised.traceback if raised else ""),
        exit_code=left if left is not None else code if code is not None and code >= 0 else None,
        status=status,
        seconds=seconds,
        backend=layers,
        truncated=running.truncated,
        reason=reason,
        kind=raised.kind if raised else "",
        line=raised.line if raised else None,
        traceback=raised.traceback if raised else "",
    )
    return execution, found.get("V")


@dataclass(frozen=True)
class _Raised:
    kind: str
    message: str
    line: int | None
    traceback: str
    memory: bool


def _exception(payload: bytes) -> _Raised:
    try:
        told = json.loads(payload)
        line = told["line"] if isinstance(told["line"], int) else None
        return _Raised(str(told["kind"]), str(told["message"]), line, str(told["traceback"]), told["memory"] is True)
    except (ValueError, LookupError, TypeError, RecursionError):
        return _Raised("exit", "what it reported makes no sense", None, "", False)


def _status(raised: _Raised | None, left: int | None, code: int | None, reason: str) -> tuple[Status, str]:
    signal = -code if code is not None and code < 0 else code - 128 if code is not None and code > 128 else 0
    if reason == "timeout":
        return "timeout", "it ran out of seconds"
    if reason:
        return "killed", reason
    if raised is not None:
        if raised.memory:
            return "memory", "it ran out of memory"
        return "error", f"{raised.kind}: {raised.message}".rstrip(": ")
    if left is not None:
        return ("ok", "") if left == 0 else ("error", f"it left with code {left}")
    if signal == CPU_SIGNAL:
        return "timeout", "it ran out of processor time"
    if signal > 0:
        return "killed", f"it was ended by signal {signal}"
    return "error", f"it left with code {code} before its end"


def _error_of(execution: Execution, what: str) -> Exception:
    limits = "Make the code cheaper, or raise the limit of the Sandbox."
    if execution.status == "timeout":
        return BudgetExceeded(f"{what} was stopped after {execution.seconds:.1f} s: {execution.reason}.", limits)
    if execution.status == "memory":
        return BudgetExceeded(f"{what} was stopped: {execution.reason}.", limits)
    if execution.status == "killed":
        return BudgetExceeded(f"{what} was stopped: {execution.reason}.", limits)
    line = f" in line {execution.line}" if execution.line else ""
    return GeneratedCodeError(
        f"{what} failed{line}: {execution.reason or 'it gave no result'}.",
        "See `traceback`, and correct the code.",
        kind=execution.kind or "exit",
        line=execution.line,
        traceback=execution.traceback,
    )


def _source(source: str) -> str:
    if not isinstance(source, str):
        raise ValueError(f"The source is {type(source).__name__}; give the program's text")
    return source.encode("utf-8", "replace").decode()


def _bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8", "surrogateescape") if isinstance(content, str) else bytes(content)


def _file_name(name: str) -> str:
    parts = name.split("/")
    if not name or "\0" in name or os.path.isabs(name) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"files: {name!r} is no name inside the folder; give a relative path without `..`")
    return name
