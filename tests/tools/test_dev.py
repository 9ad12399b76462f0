"""The task runner: it starts under an old Python, says what is wrong, and installs only what is not there yet."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import dev

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "dev.py"


def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=dict(os.environ, **changes), capture_output=True, text=True, check=False)


def test_an_old_python_can_read_it() -> None:
    """Otherwise it could not say that the Python is too old, nor find a newer one."""
    ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 8))


def test_the_list_of_tasks_is_the_makefiles() -> None:
    listed = [line.split()[0] for line in run().stdout.splitlines()]
    assert listed == list(dev.TASKS)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [tasks] = re.findall(r"^TASKS := (.*)$", makefile, re.M)
    assert set(tasks.split()) | {"help", "run"} == set(dev.TASKS)


def test_an_unknown_task_is_refused() -> None:
    done = run("tset")
    assert done.returncode == 1
    assert "there is no task 'tset'" in done.stderr


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    nothing = str(tmp_path / "python")
    done = run("demo", PYTHON=nothing, DEEPTHRIFT_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert nothing in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(os.name == "nt", reason="stands in for an interpreter with a shell script")
def test_an_old_python_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    done = run("test", PYTHON=str(old), DEEPTHRIFT_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert f"{old} is 3.9" in done.stderr


def test_what_is_installed_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stamp holds for its level and those below it, and no longer once pyproject.toml changes."""
    installed: list[tuple[str, ...]] = []
    (tmp_path / "pyproject.toml").write_text("one")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "ensure_venv", lambda: None)
    monkeypatch.setattr(dev, "pip", lambda *arguments: installed.append(arguments))

    dev.install("test")
    assert installed == [("--upgrade", "pip>=25.1"), tuple(dev.LEVELS["test"])]
    dev.install("test")
    dev.install("demo")
    assert len(installed) == 2
    dev.install("dev")
    assert installed[-1] == tuple(dev.LEVELS["dev"])

    installed.clear()
    (tmp_path / "pyproject.toml").write_text("two")
    dev.install("demo")
    assert installed == [tuple(dev.LEVELS["demo"])]


def test_check_runs_everything_and_reports_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def part(name: str, code: int) -> None:
        def task(rest: list[str]) -> int:
            ran.append(name)
            return code

        task.__name__ = name
        monkeypatch.setattr(dev, name, task)

    part("lint", 1)
    part("coverage", 0)
    part("slow", 0)
    assert dev.check([]) == 1
    assert ran == ["lint", "coverage", "slow"]
    assert "failed: lint" in capsys.readouterr().err
    assert dev.check(["--skip", "lint", "--skip", "coverage"]) == 0
    assert ran[3:] == ["slow"]
