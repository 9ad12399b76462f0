"""The start of an engine: what is reported of it, how long it may take, and what its failures mean."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from deepthrift._types.errors import EngineStartFailed, NotEnoughMemory, UnsupportedMachine
from deepthrift.local._engine import machine as _machine
from deepthrift.local._engine import memory as _memory
from deepthrift.local._process.child import Child
from deepthrift.local._process.crashes import crash_of

Stage: TypeAlias = Literal["downloading", "checking", "loading", "ready"]

LOOPBACK: Final = "127.0.0.1"
_CGROUP: Final = Path("/sys/fs/cgroup")
_POLL_SECONDS: Final = 0.02
_REPORT_SECONDS: Final = 0.1
_LEAVE_SECONDS: Final = 10.0
# A cold start reads the weights from disk: allow for a slow one.
_START_SECONDS: Final = 60.0
_SLOWEST_DISK: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class EngineProgress:
    """How far the start of an engine is.

    Attributes:
        stage: What is being done now.
        seconds: Since the start.
        done: Bytes fetched, or of the model in memory, so far; 0 where that is not known.
        total: Bytes altogether; 0 where that is not known.
    """

    stage: Stage
    seconds: float
    done: int = 0
    total: int = 0


def pauses(done: Callable[[], bool], seconds: float) -> Iterator[float]:
    """Yield short pauses until `done`, or until the time is up."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        yield _POLL_SECONDS


def until_ready(
    child: Child, *, size: int, timeout: float | None, report: Callable[[Stage, int, int], None]
) -> Iterator[float]:
    """Yield short pauses until the engine answers; `child.event` then says where.

    Args:
        child: The engine's process.
        size: Bytes of the model, for the progress and for the time allowed.
        timeout: Seconds until the start counts as failed; by default what a slow disk needs.
        report: Called about ten times a second.

    Raises:
        EngineStartFailed, UnsupportedMachine, MissingExtra: It did not come up.
    """
    began = time.monotonic()
    allowed = timeout or _START_SECONDS + size / _SLOWEST_DISK
    next_report = began
    while (event := child.event) is None:
        code = child.poll()
        if code is not None:
            child.drain()
            if child.event is None:
                raise _died(code, child)
            continue
        now = time.monotonic()
        if now - began > allowed:
            raise EngineStartFailed(
                f"The engine was not ready after {allowed:,.0f} seconds: give it more with start_timeout=, "
                f"or take a smaller model.{log_of(child)}"
            )
        if now >= next_report:
            next_report = now + _REPORT_SECONDS
            report("loading", min(resident_bytes(child.pid), size), size)
        yield _POLL_SECONDS
    if event.get("event") != "ready":
        # It ends by itself after that: killed at once, the engine would not write the end of its log.
        yield from pauses(lambda: child.poll() is not None, _LEAVE_SECONDS)
        raise _refused(event, child)
    report("ready", size, size)


def check_port(port: int, host: str = LOOPBACK) -> None:
    """Check that a fixed port is free.

    Raises:
        EngineStartFailed: It is not.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EngineStartFailed(
                f"Port {port} on {host} cannot be used ({error.strerror}): choose another, or 0 for any free one."
            ) from None


def processors(cgroup: Path = _CGROUP) -> int:
    """Processors that this process may use: those it is bound to, or the share that a container is limited to.

    Args:
        cgroup: Where Linux shows a container's own limits.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            words = [word for file in files for word in (cgroup / file).read_text("ascii").split()]
            quota, period = (int(word) for word in words)  # "max" or -1 is no limit
            if quota > 0 and period > 0:
                count = min(count, max(1, quota // period))
    return count


def log_of(child: Child) -> str:
    """The end of the engine's log as a part of a message; empty if there is none."""
    tail = child.log.tail()
    return f"\nThe end of its log:\n{tail}" if tail else ""


def _died(code: int, child: Child) -> EngineStartFailed | UnsupportedMachine:
    if _machine.is_illegal_instruction(code):
        return UnsupportedMachine(
            f"The engine died {_machine.describe_exit(code)}. Use a machine with AVX2 (x86 since 2013), "
            "or point the client at an endpoint elsewhere."
        )
    crash = crash_of(code, child)
    if crash.out_of_memory:
        return NotEnoughMemory(
            f"The engine died while it started, {crash.cause}. Take a smaller model or context, or fewer slots."
            f"{log_of(child)}"
        )
    return EngineStartFailed(f"The engine died while it started, {crash.cause}.{log_of(child)}")


def _refused(event: dict[str, str], child: Child) -> Exception:
    child.kill()
    reason = event.get("error", "no reason given")
    if event.get("event") == "import":
        return _machine.import_failure(reason)
    if event.get("event") == "settings":
        return UnsupportedMachine(
            f"The installed engine does not take the settings of this version of Deepthrift ({reason}): "
            f"install the fitting one with `{_machine.INSTALL_HINT}`."
        )
    if event.get("event") == "memory":
        needed, available = int(event["needed"]), int(event["available"])
        return NotEnoughMemory(
            f"This model needs about {needed / 1e9:,.1f} GB of memory with this context, and {available / 1e9:,.1f} GB "
            "are free: take a smaller model or context, fewer slots, or try all the same with check_memory=False."
        )
    child.drain()
    if _memory.said_out_of_memory(child.log.tail()):
        return NotEnoughMemory(
            f"The engine could not get the memory that it needed ({reason}): take a smaller model or context, or "
            f"fewer slots.{log_of(child)}"
        )
    if "couldn't bind" in child.log.tail():
        return EngineStartFailed(f"Another program took the engine's port meanwhile: choose another.{log_of(child)}")
    return EngineStartFailed(
        f"The engine could not load the model ({reason}): it may not know this "
        f"architecture, or memory is short.{log_of(child)}"
    )


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process holds, or 0 where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
