"""The filter of system calls, run step by step as the kernel does, for both machines it is written for."""

from __future__ import annotations

import struct

import pytest

from thalweg.program.sandbox.child import seccomp
from thalweg.program.sandbox.child.seccomp import ALLOW, ENOSYS, EPERM, KILL, LIMITED, MACHINES, METADATA, REFUSED

PID = 4321
both = pytest.mark.parametrize("machine", MACHINES)


def decide(machine: str, number: int, *args: int, architecture: int = 0, metadata: bool = False) -> int:
    data = struct.pack("<IIQ6Q", number, architecture or MACHINES[machine][1], 0, *args, *[0] * (6 - len(args)))
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine, PID, metadata=metadata)))
    accumulator = at = 0
    while True:
        operation, true, false, operand = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x06:
            return operand
        else:
            holds = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x45: bool(accumulator & operand)}
            at += true if holds[operation] else false


@both
def test_what_is_refused_is_refused_and_nothing_is_listed_twice(machine: str) -> None:
    column = MACHINES[machine][0]
    numbers = [pair[column] for pair in [*REFUSED.values(), *METADATA.values(), *LIMITED.values()]]
    present = [number for number in numbers if number is not None]
    assert len(present) == len(set(present))
    for pair in REFUSED.values():
        if (number := pair[column]) is not None:
            assert decide(machine, number) == EPERM


@both
def test_metadata_is_refused_only_where_asked(machine: str) -> None:
    for pair in METADATA.values():
        if (number := pair[MACHINES[machine][0]]) is not None:
            assert decide(machine, number) == ALLOW
            assert decide(machine, number, metadata=True) == EPERM


@both
def test_new_and_foreign_calls_do_not_exist(machine: str) -> None:
    assert decide(machine, 451) == ENOSYS
    assert decide(machine, 0x40000000 + 41) == ENOSYS  # x32
    assert decide(machine, 1, architecture=0x40000003) == KILL  # 32 bits


@both
@pytest.mark.parametrize(
    ("name", "args", "decision"),
    [
        ("kill", (PID, 9), ALLOW), ("kill", (1, 9), EPERM), ("kill", (0, 9), EPERM), ("kill", (2**64 - 1, 9), EPERM),
        ("tgkill", (PID, PID, 6), ALLOW), ("tgkill", (1, 1, 6), EPERM),
        ("clone", (0x3D0F00,), ALLOW), ("clone", (17,), EPERM), ("clone", (0x4111,), EPERM),
        ("clone", (0x3D0F00 | 0x10000000,), EPERM), ("clone3", (), ENOSYS),
        ("prctl", (15,), ALLOW), ("prctl", (1,), EPERM), ("prctl", (4,), EPERM), ("prctl", (0x59616D61,), EPERM),
        ("fcntl", (3, 4), ALLOW), ("fcntl", (3, 8), EPERM), ("fcntl", (3, 10), EPERM), ("fcntl", (3, 15), EPERM),
        ("ioctl", (0, 0x5401), ALLOW), ("ioctl", (0, 0x5412), EPERM), ("ioctl", (0, 0x8901), EPERM),
        ("socketpair", (1, 1 | 0x80000), ALLOW), ("socketpair", (1, 2), EPERM), ("socketpair", (2, 1), EPERM),
        ("sendto", (3, 1, 1, 0, 0), ALLOW), ("sendto", (3, 1, 1, 0, 1), EPERM),
        ("sendto", (3, 1, 1, 0, 1 << 32), EPERM),
        ("prlimit64", (0,), ALLOW), ("prlimit64", (PID,), ALLOW), ("prlimit64", (1,), EPERM),
        ("sched_setaffinity", (0,), ALLOW), ("sched_setaffinity", (1,), EPERM),
    ],
)  # fmt: skip
def test_some_calls_are_allowed_with_some_arguments(machine: str, name: str, args: tuple, decision: int) -> None:
    assert decide(machine, LIMITED[name][MACHINES[machine][0]], *args) == decision
