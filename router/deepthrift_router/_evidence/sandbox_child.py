"""Runs untrusted Python with as little as the system lets it have. Started as a program of its own, never imported.

Standard input begins with one line of JSON: the code, its limits, the folder to work in, the folders to read. The rest
is what the code reads. Standard error begins with one line of JSON: what is shut off, and the first thing that could
not be. Linux's namespaces do it where they are allowed; a supervisor outside of them ends whatever the code started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DETACH = 2
KEPT = {"ST_NOEXEC": 8, "ST_NOATIME": 1024, "ST_NODIRATIME": 2048, "ST_RELATIME": 1 << 21}
PDEATHSIG, SECCOMP, DROP_BOUND, NO_NEW_PRIVS, AMBIENT = 1, 22, 24, 38, 47
CAPABILITIES_3 = 0x20080522
NOBODY = 65534
REFUSED = 97
"""Exit code when the code was not run, for it could not be isolated."""


def limit(limits: dict[str, int]) -> None:
    """Set the limits of this process and of all that it starts; none can be raised again."""
    import resource

    sizes = {
        "RLIMIT_CPU": limits["cpu_seconds"],
        "RLIMIT_AS": limits["memory_mb"] << 20,
        "RLIMIT_FSIZE": limits["file_mb"] << 20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_CORE": 0,
    }
    for name, value in sizes.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


def unshare(libc: Any) -> tuple[list[str], str]:
    """Leave the network, the processes and the mounts of the system behind; what of that worked, or why not."""
    uid, gid = os.geteuid(), os.getegid()
    ready, go = os.pipe()
    # A superuser may map a second user, nobody, but only from outside the new space of users.
    mapper = os.fork() if uid == 0 else 0
    if uid == 0 and mapper == 0:
        os.close(go)
        mapped = bool(os.read(ready, 1)) and write_maps(os.getppid(), f"0 0 1\n{NOBODY} {NOBODY} 1\n")
        os._exit(0 if mapped else 1)
    worked = libc.unshare(NEWUSER | NEWNET | NEWPID | NEWIPC | NEWNS) == 0
    problem = "" if worked else f"unshare: {os.strerror(ctypes.get_errno())}"
    if mapper:
        os.write(go, b"1" if worked else b"")
    os.close(ready)
    os.close(go)
    if mapper:
        os.waitpid(mapper, 0)
    elif worked:
        with contextlib.suppress(OSError), open("/proc/self/setgroups", "w") as file:
            file.write("deny")
        write_maps(os.getpid(), f"{uid} {uid} 1", f"{gid} {gid} 1")
    return (["network", "processes"] if worked else []), problem


def write_maps(pid: int, users: str, groups: str | None = None) -> bool:
    """Say which users and groups of the system are known in the new space of users of `pid`."""
    try:
        for name, text in (("uid_map", users), ("gid_map", groups or users)):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return True


def become_nobody() -> None:
    """A superuser's code runs as nobody: a limit on processes does not hold for a superuser."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
        with contextlib.suppress(OSError):
            os.setgid(NOBODY)
            os.setuid(NOBODY)


def drop_rights(libc: Any, program: str | None) -> None:
    """Give up the rights that came with the new namespaces, and the system calls that could get around the limits.

    Raises:
        OSError: One of them stays.
    """
    for number in range(64):
        libc.prctl(DROP_BOUND, number, 0, 0, 0)
    libc.prctl(AMBIENT, 4, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    lines = bytes.fromhex(program or "")
    code = ctypes.create_string_buffer(lines, len(lines))
    found = Filter(len(lines) // 8, ctypes.cast(code, ctypes.c_void_p))
    if libc.prctl(SECCOMP, 2, ctypes.byref(found), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


class Filter(ctypes.Structure):
    """The kernel's `sock_fprog`: a program that looks at each system call."""

    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]


def enclose(libc: Any, work: str, readable: list[str], limits: dict[str, int]) -> None:
    """A root folder of its own: the interpreter's folders to read, a working folder of limited size, nothing else.

    Raises:
        OSError, KeyError: It could not be made.
    """

    def mount(source: str, target: str, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
        if libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), data) != 0:
            raise OSError(ctypes.get_errno(), f"mount {target}")

    root = os.path.join(work, ".root")
    os.umask(0o022)  # nobody has to pass through the folders on the way
    os.mkdir(root)
    mount("none", "/", None, REC | PRIVATE)
    mount("tmpfs", root, b"tmpfs", NOSUID | NODEV, b"size=1m,nr_inodes=1k,mode=755")
    for folder in readable:
        inside = root + folder
        os.makedirs(inside, exist_ok=True)
        mount(folder, inside, None, BIND | REC)
        found = os.statvfs(folder).f_flag
        kept = sum(flag for name, flag in KEPT.items() if found & getattr(os, name, 0))
        mount("none", inside, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV | kept)
    os.makedirs(root + work)
    # One more entry than files: the folder itself.
    size = f"size={limits['disk_mb']}m,nr_inodes={limits['files'] + 1},mode=777"
    mount("tmpfs", root + work, b"tmpfs", NOSUID | NODEV, size.encode())
    os.makedirs(root + "/dev")
    for device in ("/dev/null", "/dev/urandom"):
        with open(root + device, "w"):
            pass
        mount(device, root + device, None, BIND)
    for link in ("/bin", "/lib", "/lib64", "/lib32", "/sbin"):
        if os.path.islink(link):
            os.symlink(os.readlink(link), root + link)
    mount("none", root, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)
    os.chdir(root)
    if libc.syscall(PIVOT_ROOT[os.uname().machine], b".", b".") != 0 or libc.umount2(b".", DETACH) != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir(work)


def isolate(libc: Any, task: dict[str, Any], held: list[str]) -> tuple[list[str], str]:
    """Shut off the files, and then every way back; what holds in all, and the first thing that failed."""
    try:
        enclose(libc, task["work"], task["readable"], task["limits"])
        become_nobody()  # who may not read the interpreter where it lies, but may in the folder of its own
        drop_rights(libc, task["filter"])
    except (OSError, KeyError) as error:
        with contextlib.suppress(OSError):
            os.chdir(task["work"])
        return held, f"{error.strerror}: {os.strerror(error.errno or 0)}" if isinstance(error, OSError) else repr(error)
    return [*held, "files"], ""


PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The number of the system call, which the C library does not wrap."""


def execute(task: dict[str, Any], held: list[str], problem: str) -> None:
    """The code itself, in this process, which has nothing left to lose."""
    if os.name == "posix":
        limit(task["limits"])
    sys.stderr.write(json.dumps([held, problem]) + "\n")
    sys.stderr.flush()
    if task["required"] and len(held) < 3:
        raise SystemExit(REFUSED)
    exec(compile(task["code"], "answer.py", "exec"), {"__name__": "__main__"})


def end_of(task: dict[str, Any], held: list[str], problem: str) -> int:
    """The exit code of the code."""
    code = 1
    try:
        execute(task, held, problem)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    return code & 255


def main() -> None:
    """Isolate, run, and report how it ended."""
    task = json.loads(sys.stdin.readline())
    if not hasattr(os, "fork"):
        os._exit(end_of(task, [], ""))
    libc: Any = None
    held: list[str] = []
    problem = ""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        held, problem = unshare(libc)
    child = os.fork()
    if child == 0:
        if libc is not None:
            libc.prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
            if held:
                held, problem = isolate(libc, task, held)
        os._exit(end_of(task, held, problem))

    # The first process of its own space of processes: with it, all that it started ends, whatever it did to hide.
    def end_child(number: int, frame: object) -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end_child)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
