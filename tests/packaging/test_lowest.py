"""The lowest versions that pyproject.toml promises really work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.packaging.environments import ROOT, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("lowest")]
# The parts whose results depend on the versions of what they are built on.
PARTS = ["tests/pricing", "tests/sdk", "tests/router"]


def pairs(constraints: str) -> list[tuple[str, str]]:
    return [(name, version) for name, _, version in (line.partition("==") for line in constraints.split())]


def test_fast_core_tests_pass_on_the_lowest_versions(tmp_path: Path) -> None:
    made = subprocess.run([sys.executable, str(ROOT / "tools/lowest.py")], capture_output=True, text=True, check=True)
    constraints = tmp_path / "lowest.txt"
    constraints.write_text(made.stdout)
    assert "httpx==" in made.stdout

    environment = Environment.create(tmp_path)
    environment.pip(".[all]", "--group", "test", "-c", str(constraints))
    frozen = environment.run("python", "-m", "pip", "list", "--format", "json").stdout
    installed = {canonicalize_name(row["name"]): Version(row["version"]) for row in json.loads(frozen)}
    wanted = {canonicalize_name(name): Version(version) for name, version in pairs(made.stdout)}
    assert wanted == {name: installed[name] for name in wanted}

    folders = [str(ROOT / part) for part in PARTS]
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not engine", "-c", str(ROOT / "pyproject.toml")]
    done = environment.run(
        "python", "-m", "pytest", *arguments, "--rootdir", str(ROOT), *folders, timeout=900, PYTHONPATH=str(ROOT)
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert " passed" in done.stdout
