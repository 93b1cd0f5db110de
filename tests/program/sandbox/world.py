"""What must stay as it is while generated code runs: files, sockets, signals, a terminal; and no process is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import signal
import socket
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest


class World:
    def __init__(self, folder: Path, home: Path) -> None:
        self.token = secrets.token_hex(12)
        self.out = folder
        self.canary = folder / "canary"
        self.canary.write_text(self.token)
        self.ssh = home / ".ssh" / "id"
        self.ssh.parent.mkdir(parents=True)
        self.ssh.write_text(self.token)
        self.memory = ctypes.create_string_buffer(self.token.encode())
        self.signals: list[int] = []
        self.sockets = {name: socket.socket(family, kind) for name, (family, kind) in SOCKETS.items()}
        for name, one in self.sockets.items():
            one.bind(("127.0.0.1", 0) if name in ("TCP", "UDP") else str(home / name))
            if name in ("TCP", "UNIX"):
                one.listen()
        self.master, self.slave = os.openpty()
        self.heard, self.said = os.pipe()
        self.held = os.open(self.canary, os.O_RDONLY)
        for descriptor in (self.said, self.held):
            os.set_inheritable(descriptor, True)
        self.priority = os.getpriority(os.PRIO_PROCESS, 0)
        self.state = self._state()

    def source(self, attack: str) -> str:
        names = {
            "CANARY": str(self.canary), "SSH": str(self.ssh), "OUT": str(self.out), "PARENT": os.getpid(),
            "ADDRESS": ctypes.addressof(self.memory), "TTY": os.ttyname(self.slave),
            "SITE": sysconfig.get_paths()["purelib"],
        }  # fmt: skip
        for name, one in self.sockets.items():
            names[name] = one.getsockname()[1] if name in ("TCP", "UDP") else one.getsockname()
        given = "\n".join(f"{name} = {value!r}" for name, value in names.items())
        body = textwrap.indent(textwrap.dedent(attack).strip(), "    ")
        return f"{given}\ntry:\n{body}\nexcept Exception as error:\n    print(type(error).__name__, error)\n"

    def harm(self, output: str) -> str:
        """What happened that must not have; "" when nothing did."""
        if self.token in output.replace(str(self.canary), ""):
            return "the secret came out"
        if f"PATH={os.environ['PATH']}" in output:
            return "the environment came out"
        if "LOOT" in output or "root:x:0:0" in output or "'canary'" in output:
            return f"it got what it wanted: {output}"
        if self._state() != self.state:
            return f"files changed: {self.state} -> {self._state()}"
        waiting = [*self.sockets.values(), self.master, self.heard]
        if ready := select.select(waiting, [], [], 0)[0]:
            return f"something arrived at {ready}"
        if self.signals:
            return f"signals {self.signals} came"
        if os.getpriority(os.PRIO_PROCESS, 0) != self.priority:
            return "the priority changed"
        if Path("/dev/shm", self.out.name).exists():
            return "shared memory was written"
        if left := [pid for pid in children() if not gone(pid)]:
            return f"processes {left} are left"
        return ""

    def _state(self) -> list[tuple]:
        paths = [self.out, *sorted(self.out.rglob("*")), self.ssh]
        found = []
        for path in paths:
            status = path.lstat()
            times = (status.st_mtime_ns, status.st_nlink) if path.is_file() else ()
            content = path.read_bytes() if path.is_file() else b""
            found.append((str(path), status.st_mode, status.st_uid, *times, content))
        return found

    def close(self) -> None:
        for one in self.sockets.values():
            one.close()
        for descriptor in (self.master, self.slave, self.heard, self.said, self.held):
            os.close(descriptor)
        for pid in children():
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        Path("/dev/shm", self.out.name).unlink(missing_ok=True)
        if os.getpriority(os.PRIO_PROCESS, 0) != self.priority:
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, self.priority)


SOCKETS = {
    "TCP": (socket.AF_INET, socket.SOCK_STREAM),
    "UDP": (socket.AF_INET, socket.SOCK_DGRAM),
    "UNIX": (socket.AF_UNIX, socket.SOCK_STREAM),
    "DGRAM": (socket.AF_UNIX, socket.SOCK_DGRAM),
}


def children() -> list[int]:
    """Processes below this one that run the sandbox's interpreter, or a control's (whoever is orphaned comes here)."""
    found = []
    for tasks in Path("/proc/self/task").iterdir():
        for pid in (tasks / "children").read_text().split():
            with contextlib.suppress(OSError):
                line = Path("/proc", pid, "cmdline").read_bytes()
                if b"marshal.load" in line or b"CANARY" in line:
                    found.append(int(pid))
    return found


def gone(pid: int) -> bool:
    """Whether the process has ended, or does so at once (a process that was killed takes its time to be no more)."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([handle], [], [], 2)[0])
    finally:
        os.close(handle)


@contextlib.contextmanager
def world_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which this process hears signals and inherits orphans."""
    out, home = folder / f"out-{secrets.token_hex(4)}", folder / "home"
    out.mkdir()
    home.mkdir()
    world = World(out, home)
    monkeypatch.setenv("SECRET_TOKEN", world.token)
    monkeypatch.setenv("HOME", str(home))
    libc = ctypes.CDLL(None)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGCONT)}
    for number in before:
        signal.signal(number, lambda number, frame: world.signals.append(number))
    libc.prctl(36, 1, 0, 0, 0)  # orphans below become children of this process
    try:
        yield world
    finally:
        libc.prctl(36, 0, 0, 0, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        world.close()
