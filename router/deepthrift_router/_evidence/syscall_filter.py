"""A filter of system calls for code of a model: nothing that opens new namespaces, mounts, or holds memory unseen.

Namespaces, limits and the size of its folder bound what a program can use. These calls would get around them: memory
that counts for no process (`memfd_create`, System V shared memory), and new namespaces with rights of their own.
"""

from __future__ import annotations

import struct
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF0000
_NOT_PERMITTED: Final = 0x00050000 | 1  # EPERM
_UNKNOWN_CALL: Final = 0x00050000 | 38  # ENOSYS: the C library then falls back to clone
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32: Final = 0x40000000
"""The first number of x86-64's second set of calls."""
_NEW_NAMESPACES: Final = 0x7E020000 | 0x80
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME."""

# Numbers from the kernel's tables: x86-64 (arch/x86/entry/syscalls/syscall_64.tbl), AArch64 (asm-generic/unistd.h).
_NAMES: Final = (
    ("shmget", 29, 194),
    ("semget", 64, 190),
    ("msgget", 68, 186),
    ("mq_open", 240, 180),
    ("memfd_create", 319, 279),
    ("memfd_secret", 447, 447),
    ("unshare", 272, 97),
    ("setns", 308, 268),
    ("mount", 165, 40),
    ("umount2", 166, 39),
    ("pivot_root", 155, 41),
    ("chroot", 161, 51),
    ("open_tree", 428, 428),
    ("move_mount", 429, 429),
    ("fsopen", 430, 430),
    ("mount_setattr", 442, 442),
    ("ptrace", 101, 117),
    ("process_vm_readv", 310, 270),
    ("process_vm_writev", 311, 271),
    ("add_key", 248, 217),
    ("request_key", 249, 218),
    ("keyctl", 250, 219),
    ("bpf", 321, 280),
    ("userfaultfd", 323, 282),
    ("perf_event_open", 298, 241),
    ("io_uring_setup", 425, 425),
)
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES: Final = tuple(_AUDIT)


def filter_for(machine: str) -> bytes | None:
    """The filter as a program for the kernel, or `None` for a machine whose numbers are not known."""
    if machine not in _AUDIT:
        return None
    denied = sorted({x86 if machine == "x86_64" else arm for _, x86, arm in _NAMES})
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _NOT_PERMITTED),
    ]
    for number in denied:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOT_PERMITTED)]
    lines += [
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _UNKNOWN_CALL),
        (_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
