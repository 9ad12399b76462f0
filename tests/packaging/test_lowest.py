"""The lowest versions that pyproject.toml promises really work."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.packaging.environments import ROOT, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("lowest")]
# The parts whose results depend on the versions of what they are built on.
PARTS = ["tests/pricing", "tests/sdk", "tests/router"]
APART = ["hub", "langchain", "openai", "pydantic-ai"]
HUB = "tests/sdk/local/test_pull_from.py"


def pairs(constraints: str) -> list[tuple[str, str]]:
    return [(name, version) for name, _, version in (line.partition("==") for line in constraints.split())]


def run_on_lowest(at: Path, extras: list[str], groups: list[str], folders: list[str], *pinned: str) -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools/lowest.py"), *pinned], capture_output=True, text=True, check=True
    )
    constraints = at / "lowest.txt"
    constraints.write_text(made.stdout)

    environment = Environment.create(at)
    named = [argument for group in groups for argument in ("--group", group)]
    environment.pip(f".[{','.join(extras)}]", *named, "-c", str(constraints))
    frozen = environment.run("python", "-m", "pip", "list", "--format", "json").stdout
    installed = {canonicalize_name(row["name"]): Version(row["version"]) for row in json.loads(frozen)}
    wanted = {canonicalize_name(name): Version(version) for name, version in pairs(made.stdout)}
    assert wanted
    assert wanted == {name: installed[name] for name in wanted}

    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not engine", "-c", str(ROOT / "pyproject.toml")]
    paths = [str(ROOT / folder) for folder in folders]
    if HUB not in folders:
        arguments += ["--ignore", str(ROOT / HUB)]
    done = environment.run(
        "python", "-m", "pytest", *arguments, "--rootdir", str(ROOT), *paths, timeout=900, PYTHONPATH=str(ROOT)
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    assert " passed" in done.stdout


def test_fast_core_tests_pass_on_the_lowest_versions(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name != "all" and name not in APART]
    run_on_lowest(tmp_path, extras, ["test-core"], PARTS)


def test_what_asks_for_newer_versions_than_the_core_works_with_its_lowest(tmp_path: Path) -> None:
    """Apart, for frameworks and the hub ask for newer versions of what the core needs."""
    run_on_lowest(
        tmp_path, [*APART, "local", "cli"], ["test-core", "test-integrations"], ["tests/integrations", HUB], *APART
    )
