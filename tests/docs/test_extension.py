"""The development page's examples of a host, a check, a command and a price, followed to the letter in a copy."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.bill_server import Answer, BillServer

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "development.md").read_text("utf-8")
TITLED: Final = re.compile(r'^```\w+ title="(?P<path>[\w./-]+)"\n(?P<text>.*?)^```$', re.M | re.S)
CONSOLE: Final = re.compile(r"^```console\n(?P<command>.*?)\n```$", re.M | re.S)
COPIED: Final = ("pricing", "sdk", "router", "tools", "docs", "tests")

TASK: Final = """
import sys
sys.path.insert(0, "tools")
import dev
dev.install = lambda level: None
raise SystemExit(dev.main(sys.argv[1:]))
"""
"""Runs a task of the copy in the environment that is there already."""

ASK: Final = """
import sys
from deepthrift import Client
from deepthrift_router import ModeRouter

with Client(sys.argv[1], host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
    with ModeRouter(client, policy="cascade", checks=["objection"]) as router:
        print(router.chat("What is 17 * 23?", max_tokens=256).decision.model_dump_json())
"""

FOUND: Final = """
from deepthrift.hosts import HostProfile
print(HostProfile.for_url("https://llm.acme.example/v1").name)
"""


class Copy:
    """A copy of the checkout, with what one section of the page says put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", "images")
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=skipped)
        shutil.copy(ROOT / "pyproject.toml", root)
        paths = [str(root / name) for name in ("pricing", "sdk", "router")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*paths, str(root)]),
            "DEEPTHRIFT_VENV": sys.prefix,
            "DEEPTHRIFT_HOME": str(root / "home"),
            "NO_COLOR": "1",
        }

    def follow(self, section: str) -> str:
        """Write the file of a section and run its command; what the command prints."""
        text = PAGE.partition(f"\n### {section}\n")[2].partition("\n### ")[0]
        [file], [command] = TITLED.finditer(text), CONSOLE.finditer(text)
        path = self.root / file["path"]
        assert not path.exists(), f"{path.name} is there already: choose another example"
        path.write_text(file["text"], "utf-8")
        return self.run(command["command"])

    def run(self, command: str) -> str:
        """What a command of the page prints."""
        program, *arguments = shlex.split(command)
        known = {"make": ["-c", TASK], "deepthrift": ["-m", "deepthrift_router.cli"]}
        return self.python(*known[program], *arguments)

    def python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def read(self, path: str) -> str:
        return (self.root / path).read_text("utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_host_and_its_price(copy: Copy) -> None:
    copy.follow("A host")
    assert copy.python("-c", FOUND).strip() == "acme"
    fixture = json.loads(copy.read("tests/sdk/hosts/golden/acme.json"))
    assert fixture["thinking"]["body"]["enable_thinking"] is True
    assert fixture["standard answer"]["request_id"] == "r-1"
    assert fixture["row"]["urls"] == ["https://llm.acme.example/v1"]
    assert copy.read("docs/hosts.md").count("| `acme` |") == 4
    assert copy.python("-m", "tools.hosts", "--check") == ""
    price = copy.follow("A price")
    assert "acme/v3.1" in price
    assert "0.28" in price


@pytest.mark.slow
def test_the_tests_of_a_new_host_pass(copy: Copy) -> None:
    copy.follow("A host")
    copy.follow("A price")
    tests = ["tests/sdk/hosts/test_golden.py", "tests/sdk/hosts/test_rows.py"]
    printed = copy.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "acme or written", *tests
    )
    assert re.search(r"\b\d+ passed", printed)


@pytest.mark.slow
def test_a_check(copy: Copy) -> None:
    copy.follow("A check")
    assert "[margin|objection|program|self_check]" in copy.read("docs/cli.md")
    answers = {"What is 17 * 23?": Answer("391")}
    with BillServer(lambda request: answers.get(request.question, Answer("381"))) as server:
        decision = json.loads(copy.python("-c", ASK, server.url))
    [item] = [each for each in decision["evidence"] if each["signal"] == "objection"]
    assert item["outcome"] == "disagree"


@pytest.mark.slow
def test_a_command(copy: Copy) -> None:
    copy.follow("A command")
    assert "## deepthrift hosts" in copy.read("docs/cli.md")
    assert "hosts      List the hosts that have a profile." in copy.run("deepthrift --help")
    assert "vllm: 131,072 tokens" in copy.run("deepthrift hosts")
    assert json.loads(copy.run("deepthrift hosts --json"))["hosts"]["vllm"] == 131072
