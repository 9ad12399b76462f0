"""The command line as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from tests.cli.conftest import Ran
from tests.support.waiting import PATIENCE as PATIENCE

COMMAND = (sys.executable, "-m", "deepthrift_router.cli")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of this process without what would change colours, widths and endpoints."""
    unwanted = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "OPENAI_BASE_URL", "COVERAGE_PROCESS_START")
    plain = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**plain, "PYTHONWARNINGS": "error::ResourceWarning", **(extra or {})}


def deepthrift(*args: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(env),
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class Running:
    """A command under way; what it writes is collected while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._out: list[str] = []
        self._err: list[str] = []
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, into), daemon=True)
            for stream, into in ((process.stdout, self._out), (process.stderr, self._err))
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _collect(stream: IO[str], into: list[str]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := stream.read(1):
                into.append(piece)

    @property
    def out(self) -> str:
        """Standard output so far."""
        return "".join(self._out)

    @property
    def err(self) -> str:
        """Standard error so far."""
        return "".join(self._err)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something; fail with what was written if it does not come."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end or (self.process.poll() is not None and not condition()):
                raise AssertionError(f"did not come; rc {self.process.poll()}\n--out\n{self.out}\n--err\n{self.err}")
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Ran:
        """Wait for its end."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return Ran(code, self.out, self.err)


@contextlib.contextmanager
def running(*args: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a command; it is killed if it has not ended by itself."""
    process = subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({"PYTHONUNBUFFERED": "1", **(env or {})}),
    )
    command = Running(process)
    try:
        yield command
    finally:
        if process.poll() is None:
            process.kill()
        command.end()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def children_of(pid: int) -> list[int]:
    """Live processes whose parent is `pid`, as Linux shows them."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[1] == str(pid) and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def lives(pid: int) -> bool:
    """Whether a process runs, as Linux shows it."""
    try:
        return (Path(f"/proc/{pid}/stat")).read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
