"""Whether this system can isolate code, and what to do where it cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from deepthrift.errors import IsolationUnavailable
from deepthrift_router._evidence.syscall_filter import MACHINES

COMPLETE: Final = ("network", "processes", "files")
"""What is shut off where code is isolated."""
_OPT_OUT: Final = "Sandbox(required=False) runs it unprotected, with all rights of your user"
_SWITCHES: Final = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
"""Switches of the kernel, the value that shuts user namespaces off, and the command that allows them."""


def sure_problem() -> str | None:
    """Why code surely cannot be isolated here, without trying it; `None` where it may work."""
    if sys.platform != "linux":
        return "this system has no Linux namespaces"
    if os.uname().machine not in MACHINES:
        return f"isolation is not built for {os.uname().machine}"
    if _value(_SWITCHES[0][0]) == "0":
        return "user namespaces are shut off"
    return None


def unavailable(problem: str) -> IsolationUnavailable:
    """The error for code that was not run because of `problem`, with the remedy."""
    problem = sure_problem() or problem or "the system refused"
    return IsolationUnavailable(
        f"code cannot be isolated on this system, so it was not run: {problem}. {_remedy()}; or, if you trust the "
        f"code, {_OPT_OUT}"
    )


def isolation_line(held: tuple[str, ...]) -> str:
    """What was shut off, in words, for evidence and refusals."""
    if set(held) >= set(COMPLETE):
        return "isolated: no network, no other processes, no files but its own"
    if not held:
        return "not isolated: it ran with all rights of your user"
    rest = [each for each in COMPLETE if each not in held]
    return f"partly isolated: {' and '.join(held)} shut off, {' and '.join(rest)} not"


def _remedy() -> str:
    if sys.platform != "linux":
        return "Run it in a Linux container or virtual machine"
    if os.uname().machine not in MACHINES:
        return f"Run it on {' or '.join(MACHINES)}"
    commands = [command for place, off, command in _SWITCHES if _value(place) == off]
    if commands:
        return f"Allow user namespaces: {' && '.join(commands)} (as root)"
    return (
        "Allow user namespaces; in a container they need a seccomp profile that lets unshare and mount through, "
        "such as --security-opt seccomp=unconfined"
    )


def _value(place: str) -> str | None:
    try:
        return Path(place).read_text(encoding="ascii").strip()
    except OSError:
        return None
