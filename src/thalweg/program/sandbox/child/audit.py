"""Audit hook: the weakest layer, for systems whose kernel gives a plain process nothing better.

The interpreter asks this hook before it opens, connects, starts or signals. Code that finds a way around the
interpreter (a crash in an extension, a hole in an audit event) is not held: this is no isolation, and is named so.
Source: Steve Dower, PEP 578 (2019). Cost: under a microsecond an event.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in `typing`, the import of which costs more than all the rest
if TYPE_CHECKING:
    from typing import Any

REFUSED = (
    "ctypes.", "socket.", "subprocess.", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.posix_spawn", "os.spawn",
    "os.link", "os.symlink", "os.system", "os.putenv", "os.setxattr", "os.removexattr", "os.getxattr", "os.listxattr",
    "pty.", "signal.pthread_kill", "fcntl.", "resource.", "syslog.", "mmap.", "gc.", "sys._current_frames",
    "sys.addaudithook", "cpython.", "webbrowser.", "ftplib.", "smtplib.", "urllib.", "http.", "sqlite3.",
    "code.__new__",
)  # fmt: skip
MODULES = (
    "_ctypes", "_posixsubprocess", "_socket", "_ssl", "_multiprocessing", "_posixshmem", "_testcapi",
    "_testinternalcapi", "_xxsubinterpreters", "_interpreters", "_sqlite3", "_dbm", "_gdbm", "mmap", "fcntl", "termios",
    "syslog", "resource", "readline", "_curses", "_tkinter",
)  # fmt: skip
PATHS = {  # event -> which of its arguments are paths
    "open": (0,), "os.chdir": (0,), "os.chmod": (0,), "os.chown": (0,), "os.listdir": (0,), "os.mkdir": (0,),
    "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.scandir": (0,), "os.truncate": (0,), "os.utime": (0,),
    "os.chflags": (0,), "shutil.rmtree": (0,), "glob.glob": (0,),
}  # fmt: skip
READS = ("os.listdir", "os.scandir", "os.chdir", "glob.glob")
UNHEARD = (  # functions without an event
    "chroot", "mkfifo", "mknod", "setuid", "seteuid", "setreuid", "setresuid", "setgid", "setsid", "setpgid", "setpgrp",
    "setpriority", "nice", "openpty", "unshare", "setns", "memfd_create", "pidfd_open", "tcsetpgrp", "login_tty",
    "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sendfile", "copy_file_range",
)  # fmt: skip


def install(jail: dict) -> None:
    """Put the hook in force for this process, for good."""
    import posix

    for name in UNHEARD:
        for module in (os, posix):
            if hasattr(module, name):
                delattr(module, name)
    for name in MODULES:
        sys.modules.pop(name, None)
    places = tuple(path.rstrip("/") for path in jail["visible"])
    sys.addaudithook(_hook(posix.getcwd, jail["folder"].rstrip("/"), places, tuple(jail["devices"])))


def _hook(getcwd, folder: str, places: tuple[str, ...], devices: tuple[str, ...]):
    # All that the hook needs is bound here: code that rebinds names in `os` or `builtins` must not reach it. Links
    # cannot be made (see REFUSED), so a path is where its text says.
    kind, text, data, number, error = type, str, bytes, int, PermissionError
    split, starts, decode, length, tell = str.split, str.startswith, bytes.decode, len, repr
    refused, modules, paths, reads = REFUSED, MODULES, PATHS, READS
    changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

    def within(path: Any, place: str) -> bool:
        return path == place or starts(path, place + "/")

    def allowed(path: Any, write: bool) -> bool:
        if path is None or kind(path) is number:
            return True  # the folder it is in, or a descriptor it holds
        if kind(path) is data:
            path = decode(path, "utf-8", "surrogateescape")
        if kind(path) is not text:
            return False  # a subclass may compare as it likes
        for part in split(path, "/"):
            if part == "..":
                return False  # relative to what, an event does not say
        if not starts(path, "/"):
            path = getcwd() + "/" + path
        if within(path, folder) or path in devices:
            return True
        if write:
            return False
        for place in places:  # noqa: SIM110 - `any` could have been rebound
            if within(path, place):
                return True
        return False

    def hook(event: str, arguments: tuple) -> None:
        if event == "import":
            if arguments[0] in modules:
                raise error("the sandbox refuses to import " + arguments[0])
        elif event in paths:
            write = event not in reads
            if event == "open":
                flags = arguments[2] if length(arguments) > 2 else changing
                write = kind(flags) is not number or flags & changing != 0
            for at in paths[event]:
                if at < length(arguments) and not allowed(arguments[at], write):
                    raise error("the sandbox refuses " + event + " of " + tell(arguments[at]))
        else:
            for prefix in refused:
                if starts(event, prefix):
                    raise error("the sandbox refuses " + event)

    return hook
