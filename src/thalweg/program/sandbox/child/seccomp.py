"""Seccomp: a filter in the kernel that refuses the system calls generated code has no business with.

No new process, no new program, no socket, no signal to others, no mount, no kernel door; calls newer than this table
do not exist (ENOSYS). Threads, and the stream socket pair that asyncio wakes itself with, stay. x86_64 and aarch64.
Source: Will Drewry, Linux kernel documentation, userspace-api/seccomp_filter; numbers from the kernel's unistd.h.
Cost: one pass over about 300 instructions for a call that is not known to be harmless, well under a microsecond.
"""

from __future__ import annotations

import ctypes
import struct

# Numbers on (x86_64, aarch64); None: the machine has no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "get_robust_list": (274, 100),
    # new processes and programs, sessions
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # sockets
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # mounts, roots, namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # memory and queues outside the address space
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # the kernel's own doors
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "inotify_add_watch": (254, 27),
    "seccomp": (317, 277),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "nfsservctl": (180, 42),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
}
# Changes to what `stat` shows, by path: Landlock does not see them. Refused where the outside is not hidden by mounts.
METADATA: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "getxattr": (191, 8),
    "lgetxattr": (192, 9),
    "listxattr": (194, 11),
    "llistxattr": (195, 12),
}
LIMITED: dict[str, tuple[int, int]] = {  # allowed with some arguments only
    "kill": (62, 129),
    "tgkill": (234, 131),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prctl": (157, 167),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "socketpair": (53, 199),
    "sendto": (44, 206),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}
NEWEST = 450  # set_mempolicy_home_node, Linux 5.17
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
LOAD, EQUAL, GREATER, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06  # classic BPF operations
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
THREAD, NEW_NAMESPACES = 0x10000, 0x7E020080  # CLONE_ flags
HARMLESS_PRCTL = (3, 15, 16, 38, 39, 0x53564D41)  # dumpable?, names, no_new_privs, name of a mapping
OWNER_FCNTL = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: the kernel would signal somebody else for us
REFUSED_IOCTL = (0x5412, 0x541C, 0x540E, 0x5410, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSPGRP, owners

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def program(machine: str, pid: int, *, metadata: bool) -> bytes:
    """The filter as the kernel takes it. `pid`: the process that may signal itself; `metadata`: refuse these too."""
    column, architecture = MACHINES[machine]
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (GREATER, 0, 1, NEWEST),  # also the x32 numbers, which start at 1 << 30
        (RETURN, 0, 0, ENOSYS),
    ]
    for name, body in _limited(pid).items():
        code += [(EQUAL, 0, len(body), LIMITED[name][column]), *body]
    for number in (pair[column] for pair in [*REFUSED.values(), *(METADATA.values() if metadata else ())]):
        if number is not None:
            code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, EPERM)]
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install(libc: ctypes.CDLL, filter: bytes) -> None:
    """Put the filter in force for this process, for good."""
    buffer = ctypes.create_string_buffer(filter, len(filter))
    descriptor = struct.pack("@HP", len(filter) // 8, ctypes.addressof(buffer))
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, descriptor, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _limited(pid: int) -> dict[str, list[Instruction]]:
    own, own_or_zero = _one_of(0, (pid,)), _one_of(0, (0, pid))
    return {
        "kill": own,
        "tgkill": own,
        "prlimit64": own_or_zero,
        "sched_setaffinity": own_or_zero,
        "prctl": _one_of(0, HARMLESS_PRCTL),
        "fcntl": _none_of(1, OWNER_FCNTL),
        "ioctl": _none_of(1, REFUSED_IOCTL),
        "clone": [
            (LOAD, 0, 0, _argument(0)),
            (ANY_BIT, 2, 0, NEW_NAMESPACES),
            (ANY_BIT, 0, 1, THREAD),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, EPERM),
        ],
        "clone3": [(RETURN, 0, 0, ENOSYS)],  # its flags lie in memory, out of a filter's sight; callers turn to clone
        "socketpair": [
            (LOAD, 0, 0, _argument(0)),
            (EQUAL, 0, 4, 1),  # AF_UNIX
            (LOAD, 0, 0, _argument(1)),
            (AND, 0, 0, 0xF),
            (EQUAL, 0, 1, 1),  # SOCK_STREAM: a datagram pair could send to any path
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, EPERM),
        ],
        "sendto": [  # without an address: plain send on a pair
            (LOAD, 0, 0, _argument(4)),
            (EQUAL, 0, 3, 0),
            (LOAD, 0, 0, _argument(4) + 4),
            (EQUAL, 0, 1, 0),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, EPERM),
        ],
    }


def _argument(index: int) -> int:
    return 16 + 8 * index  # the low word; both machines are little-endian


def _one_of(index: int, values: tuple[int, ...]) -> list[Instruction]:
    return _choose(index, values, found=ALLOW, otherwise=EPERM)


def _none_of(index: int, values: tuple[int, ...]) -> list[Instruction]:
    return _choose(index, values, found=EPERM, otherwise=ALLOW)


def _choose(index: int, values: tuple[int, ...], *, found: int, otherwise: int) -> list[Instruction]:
    tests: list[Instruction] = [(EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [(LOAD, 0, 0, _argument(index)), *tests, (RETURN, 0, 0, otherwise), (RETURN, 0, 0, found)]
