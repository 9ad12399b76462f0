"""Code of a model, run where it can do no harm: a process of its own, with limits, without network and files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import stat
import sys
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from deepthrift.errors import ConfigurationError

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
    """What was really shut off: `network`, `processes`, `files`; less where the system does not allow it."""

    @property
    def ok(self) -> bool:
        """Whether it came to its own end without an error."""
        return self.exit_code == 0 and not self.timed_out


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs Python code of a model: never in this process, in an empty environment and a temporary folder.

    Processor time, memory, the size of files and the number of processes are limited wherever the system knows such
    limits. On Linux, where user namespaces are allowed, the code has no network, sees no other process and no file but
    the interpreter's and its own. Elsewhere it can do what your user can; `required=True` refuses to run it then. Only
    the standard library can be imported.

    Raises:
        ConfigurationError: A limit is not above 0.
    """

    seconds: float = 5.0
    """Wall-clock time, the interpreter's start included."""
    cpu_seconds: int = 4
    memory_mb: int = 512
    file_mb: int = 4
    """The most that one file may hold."""
    processes: int = 8
    required: bool = False
    """Whether code is refused where it cannot be isolated."""

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds", "memory_mb", "file_mb", "processes"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} of a sandbox is above 0, not {getattr(self, name)!r}")

    async def run(self, code: str, stdin: str = "") -> SandboxResult:
        """Run `code` as a program that reads `stdin`. Cancelled, it ends the program and removes its folder.

        Raises:
            ConfigurationError: It cannot be isolated here, and `required` is set; it was not run.
        """
        work = _folder()
        try:
            return await self._run(work, code, stdin)
        finally:
            _remove(work)

    async def _run(self, work: str, code: str, stdin: str) -> SandboxResult:
        from asyncio import subprocess

        names = ("cpu_seconds", "memory_mb", "file_mb", "processes")
        task = {
            "work": work,
            "code": code,
            "readable": _readable(),
            "required": self.required,
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
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.seconds):
                    await _talk(process, (json.dumps(task) + "\n" + stdin).encode(), out, err)
                    await process.wait()
                timed_out = False
        finally:
            await _end(process)
        first, _, errors = err.decode("utf-8", "replace").partition("\n")
        held = _held(first)
        exit_code = process.returncode if process.returncode is not None else -int(signal.SIGKILL)
        if exit_code == _REFUSED and self.required and held is not None and len(held) < 3:
            raise ConfigurationError("code cannot be isolated on this system; Sandbox(required=False) runs it anyway")
        return SandboxResult(
            out.decode("utf-8", "replace"),
            errors if held is not None else f"{first}\n{errors}",
            exit_code if exit_code >= 0 else 128 - exit_code,
            timed_out,
            held or (),
        )


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


def _held(line: str) -> tuple[str, ...] | None:
    try:
        found: object = json.loads(line)
    except ValueError:
        return None
    return tuple(map(str, cast("list[object]", found))) if isinstance(found, list) else None


def _folder() -> str:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="deepthrift-")).resolve()
    if os.name == "posix" and os.geteuid() == 0:
        folder.chmod(0o777)  # the code runs as nobody
    return str(folder)


def _readable() -> list[str]:
    """The folders of the interpreter and of the system's libraries, none of them inside another."""
    places = {str(Path(each).resolve()) for each in (sys.base_prefix, "/usr", "/lib", "/lib64") if Path(each).is_dir()}
    places.discard("/")
    return sorted(each for each in places if not any(each.startswith(f"{other}/") for other in places))


def _environment(work: str) -> dict[str, str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": work, "TMPDIR": work, "LANG": "C.UTF-8"}
    # Windows starts no program without it.
    return {**clean, "SYSTEMROOT": os.environ["SYSTEMROOT"]} if "SYSTEMROOT" in os.environ else clean


def _remove(work: str) -> None:
    """Remove the folder, whatever the code left in it: no rights, links that lead elsewhere, folders thousands deep.

    Each folder's own folders are moved up before it goes, so that nothing here is as deep as what was made, and only
    real folders are opened up: the target of a link is not ours to touch.
    """
    names, mark = count(), secrets.token_hex(8)
    try:
        while folders := [each.path for each in os.scandir(work) if each.is_dir(follow_symlinks=False)]:
            for folder in folders:
                Path(folder).chmod(stat.S_IRWXU)
                for each in list(os.scandir(folder)):
                    if each.is_dir(follow_symlinks=False):
                        Path(each.path).chmod(stat.S_IRWXU)
                        Path(each.path).rename(Path(work) / f"{mark}-{next(names)}")
                    else:
                        Path(each.path).unlink()
                Path(folder).rmdir()
        for each in list(os.scandir(work)):
            Path(each.path).unlink()
        Path(work).rmdir()
    except OSError as error:
        warnings.warn(f"the folder of a sandbox could not be removed: {error}", ResourceWarning, stacklevel=2)
