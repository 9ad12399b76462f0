"""The development page's examples of a host, a command and a price, followed to the letter in a copy.

That of a check is in `tests/scenarios/test_52_one_file_each.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.checkout_copy import Copy

FOUND: Final = """
from deepthrift.hosts import HostProfile
print(HostProfile.for_url("https://llm.acme.example/v1").name)
"""


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
def test_a_command(copy: Copy) -> None:
    copy.follow("A command")
    assert "## deepthrift hosts" in copy.read("docs/cli.md")
    assert "hosts      List the hosts that have a profile." in copy.run("deepthrift --help")
    assert "vllm: 131,072 tokens" in copy.run("deepthrift hosts")
    assert json.loads(copy.run("deepthrift hosts --json"))["hosts"]["vllm"] == 131072
