"""What a release consists of: reproducible, described, described truthfully."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.packaging.environments import ROOT, Environment, outside
from tools.release import commit_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("packaging")]


def test_two_builds_of_one_commit_are_alike_to_the_last_byte(tmp_path: Path) -> None:
    def build(into: Path) -> dict[str, bytes]:
        command = [sys.executable, "-m", "build", "--outdir", str(into), str(ROOT)]
        environment = outside(SOURCE_DATE_EPOCH=commit_time())
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return {path.name: path.read_bytes() for path in into.iterdir()}

    first, second = build(tmp_path / "first"), build(tmp_path / "second")
    assert len(first) == 2
    assert first == second


def test_the_bill_of_materials_names_what_the_core_installs(core: Environment, tmp_path: Path) -> None:
    made = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", core.program("python"), "-o", str(made)]
    subprocess.run([*command, "--pyproject", str(ROOT / "pyproject.toml")], check=True, capture_output=True)
    told = json.loads(made.read_text())
    assert told["bomFormat"] == "CycloneDX"
    assert told["metadata"]["component"]["name"] == "deepthrift"
    versions = {each["name"]: each["version"] for each in told["components"]}
    assert {"httpx", "pydantic", "tenacity", "tiktoken"} <= set(versions)
    assert all(versions.values())


def test_every_extra_has_its_reason_in_the_docs() -> None:
    """The table of dependencies in the docs is that of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~!; ]", text, maxsplit=1)[0] for text in requirements}

    told = re.findall(r"^\| `([\w-]+)` \| (`\[[\w-]+\]`|core)[^|]* \| [^|]{8,} \|$", page, re.M)
    wanted = {(name, "core") for name in names(project["dependencies"])}
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "all":
            wanted |= {(name, f"`[{extra}]`") for name in names(requirements)}
    assert set(told) == wanted


def test_the_workflow_stores_no_credential() -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert "secrets." not in workflow
    assert "attestations: true" in workflow
