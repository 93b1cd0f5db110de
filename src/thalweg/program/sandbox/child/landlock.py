"""Landlock: the kernel lets this process, and whatever it starts, touch only the files that are named here.

Needs no privilege, only Linux 5.13; later kernels add truncation (6.2), TCP (6.7) and signals to others (6.12).
It does not hide names, sizes and times (`stat` stays open); `seccomp.METADATA` closes changes to them.
Source: Mickael Salaun, Landlock, Linux kernel documentation, userspace-api/landlock. Cost: about 10 us a path.
"""

from __future__ import annotations

import ctypes
import os
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1, 2, 4, 8, 1 << 6, 1 << 9, 1 << 11
TRUNCATE = 1 << 14
RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
TCP = 3  # bind and connect
SCOPES = 3  # abstract unix sockets and signals
NO_NEW_PRIVS = 38


def abi(libc: ctypes.CDLL) -> int:
    """The kernel's Landlock version; 0 where it has none."""
    return max(0, libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def restrict(libc: ctypes.CDLL, readable: list[str], writable: list[str], devices: list[str]) -> int:
    """Leave this process the given paths only (none of them executable). Returns the kernel's version; 0: none."""
    version = abi(libc)
    if version == 0:
        return 0
    rights = RIGHTS[max(known for known in RIGHTS if known <= version)]
    attributes = struct.pack("=QQQ", rights, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in readable:
        _allow(libc, ruleset, path, READ_FILE | READ_DIR)
    for path in writable:
        _allow(libc, ruleset, path, rights & ~(EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_BLOCK))
    for path in devices:
        _allow(libc, ruleset, path, (READ_FILE | WRITE_FILE | TRUNCATE) & rights)
    libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)
    return version


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    if not os.path.isdir(path):
        rights &= READ_FILE | WRITE_FILE | TRUNCATE
    rule = struct.pack("=Qi", rights, descriptor)
    failed = libc.syscall(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)) != 0
    os.close(descriptor)
    if failed:
        raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
