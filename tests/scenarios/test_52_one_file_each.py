"""52. A new host is one file; a new evidence check is one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.support.bill_server import Answer, BillServer
from tests.support.checkout_copy import Copy

HOST: Final = """
import sys
from deepthrift import Client

with Client(sys.argv[1], host="acme", api_key="key", prices="brief") as client:
    print(client.chat("Hi", mode="thinking", max_tokens=64).text)
"""

CHECK: Final = """
import sys
from deepthrift import Client
from deepthrift_router import ModeRouter

with Client(sys.argv[1], host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
    with ModeRouter(client, policy="cascade", checks=["objection"]) as router:
        print(router.chat("What is 17 * 23?", max_tokens=256).decision.model_dump_json())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def changed(copy: Copy, section: str) -> tuple[set[str], set[str]]:
    """The files that following a section of the page adds, and those that it changes."""
    before = copy.files()
    copy.follow(section)
    after = copy.files()
    return after.keys() - before.keys(), {path for path in before if after.get(path) != before[path]}


@pytest.mark.slow
def test_a_host(copy: Copy) -> None:
    added, rewritten = changed(copy, "A host")
    assert added == {"sdk/deepthrift/hosts/acme.toml", "tests/sdk/hosts/golden/acme.json"}
    assert rewritten <= {
        "docs/hosts.md",
        "sdk/deepthrift/hosts/index.json",
    }  # `make hosts` writes both, and the golden file
    with BillServer(lambda request: Answer("Paris.")) as server:
        assert copy.python("-c", HOST, server.url).strip() == "Paris."
        assert server.requests[0].body["enable_thinking"] is True


@pytest.mark.slow
def test_a_check(copy: Copy) -> None:
    added, rewritten = changed(copy, "A check")
    assert added == {"router/deepthrift_router/_evidence/checks/objection.py"}
    assert rewritten <= {"docs/cli.md", "docs/reference.md"}  # written by `make docs`
    assert "[margin|objection|program|self_check]" in copy.read("docs/cli.md")
    answers = {"What is 17 * 23?": Answer("391")}
    with BillServer(lambda request: answers.get(request.question, Answer("381"))) as server:
        decision = json.loads(copy.python("-c", CHECK, server.url))
    assert [each["outcome"] for each in decision["evidence"] if each["signal"] == "objection"] == ["disagree"]
