"""What is in the wheel and in the source distribution, and what is not."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.packaging.environments import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("packaging")]
SOURCES = {"deepthrift": "sdk", "deepthrift_router": "router", "deepthrift_pricing": "pricing"}


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def tracked(folder: str) -> set[str]:
    """What git tracks, or would track, below a folder, relative to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.removeprefix(f"{folder}/") for name in done.stdout.splitlines()}


def test_wheel_holds_exactly_the_three_packages(names: set[str]) -> None:
    """Every tracked file of the packages is there, data files and templates too, and nothing else."""
    expected = set[str]().union(*(tracked(folder) for folder in SOURCES.values()))
    assert "deepthrift/py.typed" in expected, "the packaging tests need a git checkout"
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_wheel_is_typed_licensed_and_without_tests(names: set[str]) -> None:
    assert {f"{package}/py.typed" for package in SOURCES} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [
        name
        for name in names
        if name.startswith(("tests/", "docs/", "examples/", "tools/")) or "/test_" in name or "/tests/" in name
    ]


def test_wheel_metadata(wheel: Path, names: set[str]) -> None:
    [path] = [name for name in names if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        fields = HeaderParser().parsestr(archive.read(path).decode())
        scripts = archive.read(path.replace("METADATA", "entry_points.txt")).decode()
    assert fields["License-Expression"] == "Apache-2.0"
    assert fields["Requires-Python"] == ">=3.11"
    assert {"local", "cli", "all"} <= set(fields.get_all("Provides-Extra", []))
    assert "deepthrift = deepthrift_router.cli:main" in scripts
    core = {Requirement(text).name for text in fields.get_all("Requires-Dist", []) if "extra" not in text}
    assert core == {"httpx", "pydantic", "tenacity", "tiktoken"}


def test_source_distribution_can_be_worked_on(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[1]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("sdk", "router", "pricing", "tests", "tools", "examples", "docs"):
        assert {f"{folder}/{name}" for name in tracked(folder)} <= inside
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
    assert pages | {"Makefile", "LICENSE", "mkdocs.yml", "pyproject.toml"} <= inside
    assert not [name for name in inside if name.endswith((".gguf", ".db", ".pyc"))]
