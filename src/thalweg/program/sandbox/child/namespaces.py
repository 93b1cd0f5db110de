"""Namespaces: a root of its own with the interpreter's files only, no network, no processes but its own.

As root the code runs under a user number drawn for the run; otherwise in a user namespace without capabilities. Where
the kernel or its policy forbids both, an `OSError` says so and another back end must serve.
Source: Linux manual pages namespaces(7), pivot_root(2), user_namespaces(7). Cost: about 3 ms.
"""

from __future__ import annotations

import ctypes
import os

NEW_MOUNTS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
MOUNT_SETATTR, AT_RECURSIVE = 442, 0x8000
DROP_BOUND, DEATH_SIGNAL, AMBIENT, CLEAR_AMBIENT = 24, 1, 47, 4
KILL = 9  # `signal` is not imported: it brings `enum`, which costs more than the namespaces
KEPT_FLAGS = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))  # ST_ flag, MS_ flag


def enter(libc: ctypes.CDLL, jail: dict) -> None:
    """Go into fresh namespaces and return as their process 1. The caller's process stays behind and mirrors its end."""
    user, group = os.getuid(), os.getgid()
    flags = NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PID | NEW_NET
    root = user == 0 and libc.unshare(flags) == 0  # root of a container often may not
    if not root:
        _check(libc.unshare(flags | NEW_USER), "unshare")
    libc.unshare(NEW_CGROUP)  # hides names only; older kernels lack it
    if not root:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    else:
        user = group = jail["user"]
    owner = f"uid={user},gid={group}"
    libc.sethostname(b"sandbox", ctypes.c_size_t(7))
    _build_root(libc, jail, owner)
    child = os.fork()
    if child:
        _mirror(child)
    libc.prctl(DEATH_SIGNAL, KILL, 0, 0, 0)
    _drop(libc, user if root else None)
    libc.prctl(DEATH_SIGNAL, KILL, 0, 0, 0)  # a change of user clears it


def _build_root(libc: ctypes.CDLL, jail: dict, owner: str) -> None:
    _mount(libc, "none", "/", None, REC | PRIVATE)
    _mount(libc, "tmpfs", "/tmp", "tmpfs", NO_SUID | NO_DEV, "size=1m,mode=755")
    os.mkdir("/tmp/old")
    number = 155 if os.uname().machine == "x86_64" else 41
    _check(libc.syscall(number, b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    for link, target in jail["links"]:
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)
    for path in jail["readable"]:
        _bind(libc, path)
    for path in jail["masked"]:
        if os.path.isdir(path):
            _mount(libc, "tmpfs", path, "tmpfs", NO_SUID | NO_DEV | READ_ONLY, "size=4k")
    for path in jail["unmasked"]:
        _bind(libc, path)
    for path in jail["devices"]:
        _touch(path)
        _mount(libc, "/old" + path, path, None, BIND)
    os.makedirs(jail["folder"])
    options = f"size={jail['disk']},nr_inodes=10000,mode=700,{owner}"
    _mount(libc, "tmpfs", jail["folder"], "tmpfs", NO_SUID | NO_DEV | NO_EXEC, options)
    _check(libc.umount2(b"/old", DETACH), "umount2")
    os.rmdir("/old")
    _mount(libc, "none", "/", None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV)
    os.chdir(jail["folder"])


def _bind(libc: ctypes.CDLL, path: str) -> None:
    source = "/old" + path
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    elif os.path.exists(source):
        _touch(path)
    else:
        return
    _mount(libc, source, path, None, BIND | REC)
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID | NO_DEV, 0, 0, 0)
    if libc.syscall(MOUNT_SETATTR, -100, path.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32)) != 0:
        kept = sum(flag for shown, flag in KEPT_FLAGS if os.statvfs(path).f_flag & shown)
        _mount(libc, "none", path, None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV | kept)


def _mirror(child: int) -> None:
    _, status = os.waitpid(child, 0)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _drop(libc: ctypes.CDLL, user: int | None) -> None:
    """Give up every capability, for good; as root, the user too."""
    drop_bound(libc)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    drop_capabilities(libc)


def drop_bound(libc: ctypes.CDLL) -> None:
    for capability in range(64):
        if libc.prctl(DROP_BOUND, capability, 0, 0, 0) != 0:
            return  # past the last one, or nothing to drop


def drop_capabilities(libc: ctypes.CDLL) -> None:
    libc.prctl(AMBIENT, CLEAR_AMBIENT, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def _mount(libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    result = libc.mount(source.encode(), target.encode(), kind_bytes, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mount {target}")


def _touch(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
