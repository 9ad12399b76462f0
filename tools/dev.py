#!/usr/bin/env python3
"""The tasks of this checkout, for every operating system; only the standard library is needed.

`python tools/dev.py` lists them. The Makefile calls this file, so each task is written once. It runs on Python 3.8 and
newer, so that an old `python3` can still find a newer one to build the virtual environment with.

Settings from the environment: DEEPTHRIFT_VENV (where the virtual environment lies, `.venv` by default) and PYTHON (the
interpreter to build it with).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
VENV = Path(os.environ.get("DEEPTHRIFT_VENV") or ROOT / ".venv").absolute()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

LINTERS: Dict[str, List[str]] = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "pyright": ["pyright"],
    "import directions": ["lint-imports"],
    "spelling": ["codespell"],
}
WORKERS = ["-n", str(min(os.cpu_count() or 1, 8)), "--dist", "loadgroup"]
FAST = ["pytest", "-m", "not slow"]
SLOW = ["pytest", "-m", "slow", "--durations=10"]
COVERAGE = ["--cov", "--cov-report=term"]

# What is installed for which tasks; each one contains those before it.
LEVELS: Dict[str, List[str]] = {
    "demo": ["-e", ".[local,cli]"],
    "test": ["-e", ".[local,cli]", "--group", "test"],
    "dev": ["-e", ".[local,cli]", "--group", "dev"],
}


def say(text: str) -> None:
    print(f"\033[1m» {text}\033[0m" if sys.stderr.isatty() else f"» {text}", file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(1)


# The virtual environment


def version_of(command: Sequence[str]) -> Optional[Tuple[int, int]]:
    """The version of the Python that `command` starts, or `None` when it cannot be started."""
    probe = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([*command, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def find_python() -> List[str]:
    """The command of a Python that is new enough: $PYTHON, this one, else the newest on the path."""
    chosen = os.environ.get("PYTHON")
    names = [f"python3.{minor}" for minor in range(15, OLDEST[1] - 1, -1)] + ["python3", "python"]
    candidates = [[chosen]] if chosen else [[sys.executable], *([name] for name in names if shutil.which(name))]
    if os.name == "nt" and not chosen:
        candidates.append(["py", "-3"])
    seen: List[str] = []
    for command in candidates:
        version = version_of(command)
        if version is not None and version >= OLDEST:
            return command
        seen.append(f"{' '.join(command)} is {'.'.join(map(str, version))}" if version else f"{command[0]} did not run")
    stop(
        f"Deepthrift needs Python {'.'.join(map(str, OLDEST))} or newer, and none was found ({'; '.join(seen)}). "
        "Install one, or name it: PYTHON=/path/to/python make demo"
    )


def ensure_venv() -> None:
    """Create the virtual environment unless a good one is there."""
    if PYTHON.exists():
        version = version_of([str(PYTHON)])
        if version is not None and version >= OLDEST:
            return
        say(f"{VENV.name} holds no usable Python {OLDEST[0]}.{OLDEST[1]}+: making it anew")
        shutil.rmtree(VENV)
    python = find_python()
    say(f"creating the virtual environment {VENV.name}")
    done = subprocess.run([*python, "-m", "venv", str(VENV)], check=False)
    if done.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        stop(
            "the virtual environment could not be made. On Debian and Ubuntu the module is a package of its own: "
            f"apt-get install python3-venv; or name another interpreter: PYTHON=/path/to/python {sys.argv[0]}"
        )


def pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-qq", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        stop(f"pip install {' '.join(arguments)} failed; its message is above")


def stamp_of(level: str) -> Tuple[Path, str]:
    """The file that says a level is installed, and what it holds when that is still so."""
    facts = [(ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(), *(text.encode() for text in LEVELS[level])]
    return VENV / f".installed-{level}", hashlib.sha256(b"\0".join(facts)).hexdigest()


def install(level: str) -> None:
    """Install into the virtual environment, unless that was done already for this very pyproject.toml."""
    ensure_venv()
    names = list(LEVELS)
    for name in names[names.index(level) :]:
        stamp, content = stamp_of(name)
        if stamp.exists() and stamp.read_text() == content:
            return
    started = time.monotonic()
    say(f"installing what `{level}` needs (once; again only when pyproject.toml changes)")
    if "--group" in LEVELS[level]:
        pip("--upgrade", "pip>=25.1")  # the first that knows dependency groups
    pip(*LEVELS[level])
    stamp, content = stamp_of(level)
    stamp.write_text(content)
    say(f"installed in {time.monotonic() - started:.0f} s")


# Running


def environment() -> Dict[str, str]:
    """This process's environment with the virtual environment in front."""
    changed = dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    changed.pop("PYTHONHOME", None)
    # Tests start hundreds of programs: compiled code is kept, even where it isn't wanted in the source folders.
    if changed.pop("PYTHONDONTWRITEBYTECODE", None):
        changed["PYTHONPYCACHEPREFIX"] = str(VENV / "pycache")
    return changed


def tool(command: Sequence[str]) -> List[str]:
    """The command with its program taken from the virtual environment if it is there."""
    found = shutil.which(command[0], path=str(BIN)) or shutil.which(command[0]) or command[0]
    return [found, *command[1:]]


def call(command: Sequence[str]) -> int:
    """Run a command in the virtual environment and wait for it."""
    return subprocess.run(tool(command), cwd=ROOT, env=environment(), check=False).returncode


def become(command: Sequence[str]) -> int:
    """Run a command as this very process, so that Ctrl-C and the exit code are the command's own."""
    if os.name != "nt":
        sys.stdout.flush()
        sys.stderr.flush()
        program = tool(command)
        try:
            os.execve(program[0], program, environment())
        except OSError as error:
            stop(f"{program[0]} cannot be started: {error.strerror}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows has no exec: wait, and leave Ctrl-C to the command
    return call(command)


# Tasks


def demo(rest: List[str]) -> int:
    """set everything up and watch a dozen questions being routed, answered and priced"""
    install("demo")
    return become(["deepthrift", "demo", *rest])


def test(rest: List[str]) -> int:
    """the fast test suite, or a part of it: `test tests/pricing -x`"""
    install("test")
    measured = COVERAGE if os.environ.get("CI") else []
    return call([*FAST, *(rest or [*WORKERS, *measured])])


def coverage(rest: List[str]) -> int:
    """the fast test suite with coverage, as in continuous integration; it takes half as long again"""
    install("test")
    return call([*FAST, *WORKERS, *COVERAGE, *rest])


def slow(rest: List[str]) -> int:
    """the slow tests: kills, storms, parity, packaging, lowest versions"""
    install("dev")
    return call([*SLOW, *(rest or WORKERS)])


def busy(rest: List[str]) -> int:
    """the fast tests with eight busy processes: `busy --processes 4 --times 1 tests/cli`"""
    parser = argparse.ArgumentParser(prog="busy")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--times", type=int, default=3)
    chosen, more = parser.parse_known_args(rest)
    install("test")
    spinning = [subprocess.Popen([str(PYTHON), "-c", "while True: pass"]) for _ in range(chosen.processes)]
    try:
        for number in range(1, chosen.times + 1):
            say(f"run {number} of {chosen.times}, beside {chosen.processes} busy processes")
            code = call([*FAST, *(more or WORKERS)])
            if code != 0:
                return code
        return 0
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def lint(rest: List[str]) -> int:
    """ruff, mypy, pyright, the import directions and the spelling"""
    install("dev")
    failed: List[str] = []
    for name, command in LINTERS.items():
        say(name)
        if call(command) != 0:
            failed.append(name)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def check(rest: List[str]) -> int:
    """everything: lint, coverage, slow (`--skip coverage` leaves one out)"""
    parser = argparse.ArgumentParser(prog="check")
    parser.add_argument("--skip", action="append", default=[], choices=["lint", "coverage", "slow"])
    skipped = parser.parse_args(rest).skip
    parts: List[Callable[[List[str]], int]] = [lint, coverage, slow]
    failed = [part.__name__ for part in parts if part.__name__ not in skipped and part([]) != 0]
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def tidy(rest: List[str]) -> int:
    """format the code and mend what ruff can mend"""
    install("dev")
    return call(["ruff", "check", "--fix", *(rest or ["."])]) or call(["ruff", "format", *(rest or ["."])])


def docs(rest: List[str]) -> int:
    """write the docs pages that follow from code and data: public names, command line, errors, hosts"""
    install("test")
    return call(["python", "tools/reference.py", *rest])


def hosts(rest: List[str]) -> int:
    """write what follows from the host profiles: index, tables of docs/hosts.md, wire fixtures and test rows"""
    install("test")
    return call(["python", "-m", "tools.hosts", *rest])


def site(rest: List[str]) -> int:
    """build the documentation site into site/; a broken link fails"""
    install("dev")
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    return call(["mkdocs", "build", "--strict", "--quiet", *rest])


def bench(rest: List[str]) -> int:
    """the benchmarks: measurements, not tests (`bench NAME` runs one)"""
    install("test")
    scripts = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if not path.name.startswith("_"))
    chosen = [path for path in scripts if not rest or path.stem in rest]
    if not chosen:
        stop(f"no such benchmark; there are: {', '.join(path.stem for path in scripts)}")
    failed = 0
    for path in chosen:
        say(path.stem)
        failed |= call(["python", str(path)])
    return failed


def release(rest: List[str]) -> int:
    """what a release consists of, in dist/: built twice alike, with a bill of materials and hashes"""
    install("dev")
    return call(["python", "tools/api_compat.py"]) or call(["python", "tools/release.py"])


def run(rest: List[str]) -> int:
    """any command inside the virtual environment, such as `run deepthrift ask …`"""
    if not rest:
        stop("name the command to run, such as: run deepthrift doctor")
    install("demo")
    if not shutil.which(rest[0], path=str(BIN)):
        install("dev")
    return become(rest)


def clean(rest: List[str]) -> int:
    """remove the virtual environment, caches and build products"""
    names = [
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".import_linter_cache",
        "dist",
        "build",
        "site",
    ]
    for path in [VENV, *(ROOT / name for name in names), *ROOT.glob(".coverage*"), ROOT / "htmlcov"]:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    return 0


def listing(rest: List[str]) -> int:
    """this list"""
    width = max(map(len, TASKS))
    for name, task in TASKS.items():
        print(f"  {name:<{width}}  {(task.__doc__ or '').strip()}")
    return 0


TASKS: Dict[str, Callable[[List[str]], int]] = {
    "help": listing,
    "demo": demo,
    "test": test,
    "coverage": coverage,
    "busy": busy,
    "lint": lint,
    "slow": slow,
    "check": check,
    "format": tidy,
    "docs": docs,
    "hosts": hosts,
    "site": site,
    "bench": bench,
    "release": release,
    "run": run,
    "clean": clean,
}


def main(arguments: List[str]) -> int:
    name, *rest = arguments or ["help"]
    task = TASKS.get(name)
    if task is None:
        listing([])
        stop(f"there is no task {name!r}")
    return task(rest)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)
