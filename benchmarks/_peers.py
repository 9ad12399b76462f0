"""What the benchmarks beside peers share: the peers' environments, worker processes, and how figures are printed.

    python benchmarks/_peers.py

makes the virtual environments `benchmarks/.venv-peers` and `benchmarks/.venv-peers-openai` (some 400 MB in all) from
the pinned `peers.txt` and `peers-openai.txt`. The benchmarks do it themselves where it is missing. Nothing is installed
into the project's own environment. Deepthrift is installed from this checkout. Only the standard library is needed.

Every side runs in a process of its own, so that no side pays for another one's memory or threads, and the sides take
turns, so that whatever else the machine does disturbs all of them alike.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PEERS, OPENAI = "peers", "peers-openai"
"""The names of the environments, which are those of their files of requirements."""

QUIET = {
    "CENDOR_TELEMETRY": "off",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches prices on import
    "NO_PROXY": "*",
    "PYTHONPATH": "",
    "TOKENIZERS_PARALLELISM": "false",
}
"""What the environment of a worker says, so that nobody phones home or goes through a proxy."""


# Environments


def python_of(environment: str) -> Path:
    """The interpreter of an environment, which is made where it is missing or out of date."""
    folder = FOLDER / f".venv-{environment}"
    requirements = FOLDER / f"{environment}.txt"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    facts = [requirements.read_bytes(), repr(ours).encode(), str(ROOT).encode(), sys.version.encode()]
    stamp, wanted = folder / ".made-of", hashlib.sha256(b"\0".join(facts)).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"making {folder.relative_to(ROOT)}; this takes a few minutes, once", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    what = ["-r", str(requirements), *(["-e", str(ROOT)] if environment == PEERS else [])]
    subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", "install", "-qq", *what], check=True)
    stamp.write_text(wanted)
    return python


# Workers


class Worker:
    """A process that runs one side, and does what it is told."""

    def __init__(
        self,
        script: str,
        side: str,
        environment: str,
        *,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.side = side
        self._process = subprocess.Popen(
            [str(python_of(environment)), str(FOLDER / script), side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **QUIET, **(settings or {})},
            cwd=folder or ROOT,
            text=True,
        )

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        """What the worker answers; raises with what it said if it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, object] = json.loads(line) if line else {"failed": "the process ended"}
        if "failed" in answer:
            raise RuntimeError(f"{self.side}: {command}: {answer['failed']}")
        return answer

    def number(self, command: str, what: str, **arguments: object) -> float:
        """One figure of an answer."""
        found = self.ask(command, **arguments)[what]
        if not isinstance(found, int | float):
            raise TypeError(f"{self.side}: {command}: {what} is {found!r}")
        return found

    def kill(self) -> None:
        """End it with no chance to tidy up."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate("", timeout=20)


def serve(handlers: Mapping[str, Callable[..., Mapping[str, object]]]) -> None:
    """A worker's side: answers commands, one line of JSON each, until its input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the terminal
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = handlers[order.pop("command")](**order)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    answers.close()


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of CPU time (all threads) and wall-clock time of `work`, threads that it leaves behind included."""
    gc.collect()
    gc.freeze()
    before = set(threading.enumerate())
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def versions(*names: str) -> dict[str, str]:
    """The installed versions."""
    return {name: importlib.metadata.version(name) for name in names}


# Printing


def heading(title: str) -> None:
    """The title of a run: day, machine and interpreter."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{title}\n{date.today()}, Python {platform.python_version()}, {platform.system()}")  # noqa: DTZ011
    print(f"{model}, {os.cpu_count()} processors{load}, yardstick {yardstick() * 1e3:.1f} ms")


def yardstick() -> float:
    """Seconds of CPU time that a fixed piece of Python takes here at best, to compare machines by."""

    def once() -> float:
        began = time.process_time()
        total = 0
        for number in range(200_000):
            total += number & 7
        return time.process_time() - began

    return min(once() for _ in range(15))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    for row in [heads, *rows]:
        pairs = list(zip(row, widths, strict=True))
        cells = [text.ljust(width) if not place else text.rjust(width) for place, (text, width) in enumerate(pairs)]
        print("  ".join(cells).rstrip())
    print(flush=True)


def progress(text: str) -> None:
    """Says on a terminal how far the run is."""
    if sys.stderr.isatty():
        print(f"\r{text:<79}", end="" if text else "\r", file=sys.stderr, flush=True)


def verdict(name: str, value: float, goal: float, unit: str, *, at_least: bool = False) -> None:
    """Prints a goal beside what was measured."""
    met = value >= goal if at_least else value <= goal
    bound = f"{'at least' if at_least else 'at most'} {goal:,.5g}"
    print(f"goal  {name}: {value:,.3g} {unit}, {bound}: {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    for each in (PEERS, OPENAI):
        print(python_of(each))
