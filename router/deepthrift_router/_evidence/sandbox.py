"""Code of a model, run where it can do no harm: a process of its own, with limits, without network and files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from deepthrift.errors import ConfigurationError
from deepthrift_router._evidence.isolation import COMPLETE, unavailable
from deepthrift_router._evidence.sandbox_folder import make_folder, remove_folder, watch_folder
from deepthrift_router._evidence.syscall_filter import filter_for

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_CHILD: Final = Path(__file__).with_name("sandbox_child.py")
_MOST_OUTPUT: Final = 65_536
"""Bytes of each stream that are read; a program that writes more is ended."""
_REFUSED: Final = 97
"""The child's exit code when it did not run the code, for it could not be isolated."""
_GRACE: Final = 2.0
"""Seconds that the supervisor has to end what it supervises."""


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """How a program ended."""

    output: str
    """Standard output, at most 64 KiB."""
    errors: str
    """Standard error, at most 64 KiB."""
    exit_code: int
    """128 and the number of the signal, where one ended it."""
    timed_out: bool
    isolation: tuple[str, ...]
    """What was really shut off: `network`, `processes` and `files`; less only with `Sandbox(required=False)`."""

    @property
    def ok(self) -> bool:
        """Whether it came to its own end without an error."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs Python code of a model: never in this process, with an empty environment, isolated or not at all.

    The code has no network, sees no other process, and no file but the interpreter's and those in a folder of its own,
    which is gone afterwards. Time, memory, processes, and the size and number of its files are limited. Only the
    standard library can be imported. This takes Linux with user namespaces; elsewhere the code is refused.

    `Sandbox(required=False)` runs it in any case: where it cannot be isolated, it can do all that your user can, read
    your files and send them away. `SandboxResult.isolation` says what held.

    Raises:
        ConfigurationError: A limit is not above 0.
    """

    seconds: float = 5.0
    """Wall-clock time, the interpreter's start included."""
    cpu_seconds: int = 4
    memory_mb: int = 512
    """The most of each process."""
    file_mb: int = 4
    """The most that one file may hold."""
    processes: int = 8
    required: bool = True
    """Whether code is refused where it cannot be isolated. If false, it runs there unprotected."""
    disk_mb: int = 16
    """The most that all its files may hold together."""
    files: int = 1_000
    """The most files and folders that it may make."""

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds", "memory_mb", "file_mb", "processes", "disk_mb", "files"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} of a sandbox is above 0, not {getattr(self, name)!r}")

    async def check(self) -> tuple[str, ...]:
        """Says what isolation holds on this system, by running an empty program.

        Raises:
            IsolationUnavailable: Code cannot be isolated here, and `required` is set. It says what to do.
        """
        return (await self.run("")).isolation

    async def run(self, code: str, stdin: str = "") -> SandboxResult:
        """Run `code` as a program that reads `stdin`. Cancelled, it ends the program and removes its folder.

        Raises:
            IsolationUnavailable: It cannot be isolated here, and `required` is set; it was not run.
        """
        work = make_folder()
        try:
            return await self._run(work, code, stdin)
        finally:
            remove_folder(work)

    async def _run(self, work: str, code: str, stdin: str) -> SandboxResult:
        from asyncio import subprocess

        names = ("cpu_seconds", "memory_mb", "file_mb", "processes", "disk_mb", "files")
        allowed = filter_for(os.uname().machine) if sys.platform == "linux" else None
        task = {
            "work": work,
            "code": code,
            "readable": _readable(),
            "required": self.required,
            "filter": None if allowed is None else allowed.hex(),
            "limits": {name: getattr(self, name) for name in names},
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-B", str(_CHILD)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=work,
            env=_environment(work),
            start_new_session=True,
        )
        timed_out, out, err = True, bytearray(), bytearray()
        watch: asyncio.Task[None] | None = None
        if not self.required:
            # Isolated code has a file system of limited size. Only what may run without is watched.
            end = partial(_signal, process, signal.SIGTERM)
            watch = asyncio.create_task(watch_folder(work, self.disk_mb << 20, self.files, end))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.seconds):
                    await _talk(process, (json.dumps(task) + "\n" + stdin).encode(), out, err)
                    await process.wait()
                timed_out = False
        finally:
            if watch is not None:
                watch.cancel()
            await _end(process)
        first, _, errors = err.decode("utf-8", "replace").partition("\n")
        report = _report(first)
        held, problem = report or ((), "")
        exit_code = process.returncode if process.returncode is not None else -int(signal.SIGKILL)
        if exit_code == _REFUSED and self.required and report is not None and set(held) != set(COMPLETE):
            raise unavailable(problem)
        if watch is not None and await _ended_by(watch):
            errors += f"\nit was ended: it wrote more than {self.disk_mb} MB or {self.files:,} files"
        return SandboxResult(
            out.decode("utf-8", "replace"),
            errors if report is not None else f"{first}\n{errors}",
            exit_code if exit_code >= 0 else 128 - exit_code,
            timed_out,
            held,
        )


async def _ended_by(watch: asyncio.Task[None]) -> bool:
    """Whether the watch of the folder came to its end, so that the program was ended by it."""
    await asyncio.wait({watch})
    return not watch.cancelled()


async def _talk(process: Process, sent: bytes, out: bytearray, err: bytearray) -> None:
    async def write() -> None:
        pipe = cast("asyncio.StreamWriter", process.stdin)
        # A program that ends before it has read everything is no failure.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            pipe.write(sent)
            await pipe.drain()
        pipe.close()

    async def read(stream: asyncio.StreamReader | None, into: bytearray) -> None:
        while stream is not None and (piece := await stream.read(8192)):
            into += piece[: _MOST_OUTPUT - len(into)]
            if len(into) >= _MOST_OUTPUT:
                _signal(process, signal.SIGTERM)
                return

    async with asyncio.TaskGroup() as together:
        together.create_task(write())
        together.create_task(read(process.stdout, out))
        together.create_task(read(process.stderr, err))


async def _end(process: Process) -> None:
    """End the supervisor, and with it everything below; shielded, for it must not be left running."""

    async def end() -> None:
        if process.returncode is None:
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(_GRACE):
                    await process.wait()
            except TimeoutError:
                pass
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        transport = cast("asyncio.SubprocessTransport", getattr(process, "_transport"))  # noqa: B009
        transport.close()

    ending = asyncio.ensure_future(end())
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _report(line: str) -> tuple[tuple[str, ...], str] | None:
    """The child's first line: what is shut off, and the first thing that could not be. `None`: it never came so far."""
    try:
        found: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, list) or len(report := cast("list[object]", found)) != 2:
        return None
    held, problem = report
    return tuple(map(str, cast("list[object]", held))) if isinstance(held, list) else (), str(problem)


def _readable() -> list[str]:
    """The folders of the interpreter and of the system's libraries, none of them inside another."""
    places = {str(Path(each).resolve()) for each in (sys.base_prefix, "/usr", "/lib", "/lib64") if Path(each).is_dir()}
    places.discard("/")
    return sorted(each for each in places if not any(each.startswith(f"{other}/") for other in places))


def _environment(work: str) -> dict[str, str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": work, "TMPDIR": work, "LANG": "C.UTF-8"}
    # Windows starts no program without it.
    return {**clean, "SYSTEMROOT": os.environ["SYSTEMROOT"]} if "SYSTEMROOT" in os.environ else clean
