"""Start jailed processes and watch them: feed their pipes, cut their output, and end them with all they started.

One loop over file descriptors serves one process or a pair. The end of a process is seen through its pidfd (elsewhere
by looking), its group is killed before it is reaped, so that the group's number cannot have passed to somebody else.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

BOOT = (
    "import sys, marshal\n"
    "with open(int(sys.argv[1]), 'rb') as pipe: request = marshal.load(pipe)\n"
    "for name, code in request['modules']:\n"
    "    module = sys.modules[name] = type(sys)(name)\n"
    "    exec(code, module.__dict__)\n"
    "module.main(request, int(sys.argv[2]))\n"
)
REPORT_BYTES = 8 * 2**20  # a result, or the frames of a trial
TICK_SECONDS = 0.05
CHUNK = 1 << 16
DRAIN_CHUNKS = 32


@dataclass
class Process:
    """A jailed process under way, and what has been read from it."""

    popen: subprocess.Popen[bytes]
    nonce: bytes
    readers: dict[str, int]
    writers: dict[int, memoryview]
    read: dict[str, bytearray] = field(default_factory=dict)
    truncated: bool = False
    returncode: int | None = None


def start(
    command: Sequence[str], request: dict[str, Any], *, stdin: bytes = b"", keep: Sequence[int] = (), nonce: bytes
) -> Process:
    """Start a bare interpreter with `command` before it, and the request on a pipe. Descriptors `keep` go along."""
    request_out, request_in = os.pipe()
    report_out, report_in = os.pipe()
    try:
        popen = subprocess.Popen(
            [*command, "-c", BOOT, str(request_out), str(report_in)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(request_out, report_in, *keep),
            env=request["environment"],
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except BaseException:
        os.close(request_in)
        os.close(report_out)
        raise
    finally:
        os.close(request_out)
        os.close(report_in)
    assert popen.stdin and popen.stdout and popen.stderr
    readers = {"stdout": popen.stdout.fileno(), "stderr": popen.stderr.fileno(), "report": report_out}
    writers = {request_in: memoryview(marshal.dumps(request)), popen.stdin.fileno(): memoryview(stdin)}
    for descriptor in (*readers.values(), *writers):
        os.set_blocking(descriptor, False)
    return Process(popen, nonce, readers, writers, {name: bytearray() for name in readers})


def supervise(
    processes: Sequence[Process],
    *,
    seconds: float,
    output: int,
    watch: Callable[[], str] | None = None,
    until: Process | None = None,
) -> str:
    """Serve the pipes until every process (or `until`) has ended; then end all of them and read what is left.

    Returns "" or why it stopped them: "timeout", or what `watch`, asked every 50 ms, said. `output` is in bytes a pipe.
    """
    with selectors.DefaultSelector() as selector:
        handles = _register(processes, selector)
        try:
            return _serve_until_ended(processes, selector, seconds, output, watch, until, by_looking=not handles)
        finally:
            for process in processes:
                _end(process, output)
            for handle in handles:
                os.close(handle)


def frames(process: Process) -> Iterator[tuple[str, bytes]]:
    """The frames of an ended process, up to the first byte that is not its channel's.

    Code that searches its process finds the channel: what a payload says is the code's word, never more.
    """
    data, at, head = bytes(process.read["report"]), 0, len(process.nonce)
    while data[at : at + head] == process.nonce:
        try:
            kind, size = chr(data[at + head]), int(data[at + head + 1 : at + head + 9], 16)
        except (IndexError, ValueError):
            return
        payload = data[at + head + 9 : at + head + 9 + size]
        if len(payload) < size:
            return
        yield kind, payload
        at += head + 9 + size


def first_frames(process: Process) -> dict[str, bytes]:
    """The first frame of each kind: what was sent before the code ran cannot be taken back by the code."""
    found: dict[str, bytes] = {}
    for kind, payload in frames(process):
        found.setdefault(kind, payload)
    return found


@lru_cache(maxsize=16)
def compiled(*names: str) -> list[tuple[str, CodeType]]:
    """Files of `child/`, in the order in which they need one another, compiled to be sent."""
    folder = Path(__file__).parent / "child"
    package = __name__.rpartition(".")[0] + ".child."
    return [
        (package + name, compile((folder / f"{name}.py").read_text("utf-8"), f"<sandbox {name}>", "exec"))
        for name in names
    ]


def _register(processes: Sequence[Process], selector: selectors.BaseSelector) -> list[int]:
    """Watch all pipes, and the processes' ends where the system can; returns the handles of the latter."""
    handles = []
    for process in processes:
        for name, descriptor in process.readers.items():
            selector.register(descriptor, selectors.EVENT_READ, (process, name))
        for descriptor in process.writers:
            selector.register(descriptor, selectors.EVENT_WRITE, (process, ""))
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                handles.append(os.pidfd_open(process.popen.pid))
                selector.register(handles[-1], selectors.EVENT_READ, (process, "end"))
    return handles


def _serve_until_ended(
    processes: Sequence[Process],
    selector: selectors.BaseSelector,
    seconds: float,
    output: int,
    watch: Callable[[], str] | None,
    until: Process | None,
    by_looking: bool,
) -> str:
    now = time.monotonic()
    deadline, next_look = now + seconds, now + TICK_SECONDS
    running = list(processes)
    while running and (until is None or until in running):
        pause = deadline - time.monotonic()
        if pause <= 0:
            return "timeout"
        if watch is not None or by_looking:
            pause = min(pause, TICK_SECONDS / 5 if by_looking else TICK_SECONDS)
        for key, _ in selector.select(pause):
            process, name = key.data
            if name == "end" or not (_drink(process, name, output) if name else _feed(process, key.fd)):
                selector.unregister(key.fd)
        running = [process for process in running if not _ended(process)]
        if watch is not None and time.monotonic() >= next_look:
            next_look = time.monotonic() + TICK_SECONDS
            if reason := watch():
                return reason
    return ""


def _drink(process: Process, name: str, output: int) -> bool:
    """Read once. False: nothing will come any more."""
    data = os.read(process.readers[name], CHUNK)
    buffer = process.read[name]
    room = (REPORT_BYTES if name == "report" else output) - len(buffer)
    buffer += data[:room]
    if len(data) > room:
        process.truncated = True
    return bool(data)


def _feed(process: Process, descriptor: int) -> bool:
    """Write once. False: all is written, or nobody reads; the pipe is closed."""
    data = process.writers[descriptor]
    try:
        data = data[os.write(descriptor, data[:CHUNK]) :] if data else data
    except BrokenPipeError:
        data = data[:0]
    process.writers[descriptor] = data
    if not data:
        del process.writers[descriptor]
        _close_writer(process, descriptor)
    return bool(data)


def _close_writer(process: Process, descriptor: int) -> None:
    stdin = process.popen.stdin
    if stdin is not None and not stdin.closed and stdin.fileno() == descriptor:
        stdin.close()
    else:
        os.close(descriptor)


def _ended(process: Process) -> bool:
    if process.popen.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return process.popen.poll() is not None
    return os.waitid(os.P_PID, process.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: Process, output: int) -> None:
    popen = process.popen
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
        process.returncode = popen.wait()
    else:
        process.returncode = popen.returncode
    for name in process.readers:
        with contextlib.suppress(BlockingIOError):
            for _ in range(DRAIN_CHUNKS):  # a pipe holds no more; one that still fills has a writer that got away
                if not _drink(process, name, output):
                    break
    for descriptor in list(process.writers):
        _close_writer(process, descriptor)
    os.close(process.readers["report"])
    for pipe in (popen.stdout, popen.stderr):
        if pipe is not None:
            pipe.close()
