"""Clean virtual environments, built with nothing but the standard library and pip."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def outside(**changes: str) -> dict[str, str]:
    """This process's environment without what would let the checkout or the test run leak in."""
    leaks = ("COV", "DEEPTHRIFT", "PYTEST", "PYTHON", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(leaks)} | changes


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own; commands run in `home`, far from the checkout."""

    folder: Path
    home: Path

    @classmethod
    def create(cls, at: Path) -> Environment:
        """A new environment below `at`, with a pip that knows dependency groups."""
        home = at / "home"
        home.mkdir(parents=True)
        venv.create(at / "venv", with_pip=True, symlinks=os.name != "nt")
        environment = cls(at / "venv", home)
        environment.pip("--upgrade", "pip>=25.1")
        return environment

    def program(self, name: str) -> str:
        """The path of a command that was installed into the environment."""
        return str(self.folder / "Scripts" / f"{name}.exe") if os.name == "nt" else str(self.folder / "bin" / name)

    def pip(self, *arguments: str) -> None:
        """`pip install`, from the checkout's folder so that `--group` finds pyproject.toml."""
        command = [self.program("python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=outside(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, name: str, *arguments: str, timeout: float = 300, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run an installed command and hand back what it printed, whatever its exit code."""
        variables = outside(HOME=str(self.home), NO_COLOR="1", COLUMNS="120", **changes)
        return subprocess.run(
            [self.program(name), *arguments],
            cwd=self.home,
            env=variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    def python(self, code: str, *flags: str, **changes: str) -> str:
        """Run `code` with warnings as errors; its standard output."""
        done = self.run("python", "-W", "error", *flags, "-c", code, **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def build_distributions(into: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution of the checkout, the wheel built from the latter."""
    command = [sys.executable, "-m", "build", "--outdir", str(into), str(ROOT)]
    done = subprocess.run(command, env=outside(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = into.glob("*.whl")
    [sdist] = into.glob("*.tar.gz")
    return wheel, sdist
