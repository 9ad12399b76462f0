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

from deepthrift.errors import EngineCrashed, EngineStartFailed, UnsupportedMachine
from deepthrift.local import _machine
from deepthrift.local._child import Child

Stage: TypeAlias = Literal["downloading", "checking", "loading", "ready"]

LOOPBACK: Final = "127.0.0.1"
_CGROUP: Final = Path("/sys/fs/cgroup")
_POLL_SECONDS: Final = 0.02
_REPORT_SECONDS: Final = 0.1
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
            report("loading", min(_resident_bytes(child.pid), size), size)
        yield _POLL_SECONDS
    if event.get("event") != "ready":
        raise _refused(event, child)
    report("ready", size, size)


def crash_of(code: int, child: Child) -> EngineCrashed:
    """What to raise for an engine that died while it was in use."""
    child.drain()
    hint = ", with a smaller model or context if memory ran out" if code == -9 else ""
    return EngineCrashed(f"The engine died {_machine.describe_exit(code)}. Start it again{hint}.{log_of(child)}")


def check_port(port: int) -> None:
    """Check that a fixed port is free.

    Raises:
        EngineStartFailed: It is not.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise EngineStartFailed(
                f"Port {port} on {LOOPBACK} cannot be used ({error.strerror}): choose another, or 0 for any free one."
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
    return EngineStartFailed(f"The engine died while it started, {_machine.describe_exit(code)}.{log_of(child)}")


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
    child.drain()
    if "couldn't bind" in child.log.tail():
        return EngineStartFailed(f"Another program took the engine's port meanwhile: choose another.{log_of(child)}")
    return EngineStartFailed(
        f"The engine could not load the model ({reason}): it may not know this "
        f"architecture, or memory is short.{log_of(child)}"
    )


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
