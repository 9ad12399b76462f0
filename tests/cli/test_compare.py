"""`deepthrift compare` against two servers that keep the true bill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.bill_server import Answer, BillServer, Failure

HOSTS = ("--a-host", "deepseek", "--b-host", "vllm", "--prices", "official-2025-09-05")


@pytest.fixture
def servers() -> Iterator[tuple[BillServer, BillServer]]:
    with BillServer(Answer("12.50")) as a, BillServer(Answer("The answer is 12.5")) as b:
        yield a, b


@pytest.fixture
def args(servers: tuple[BillServer, BillServer], tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Price {n}?"}) + "\n" for n in range(4)))
    return ("compare", str(path), "--a", servers[0].url, "--b", servers[1].url, *HOSTS)


def test_the_report_is_read_by_people_and_scripts(
    run: Run, servers: tuple[BillServer, BillServer], args: tuple[str, ...], tmp_path: Path
) -> None:
    ran = run(*args)
    assert ran.code == 0, ran.err
    assert "agreement: 4 of 4 say the same, 100 % (95 % interval 51 to 100 %)" in ran.out
    assert "B - A, a prompt" in ran.out
    assert "\x1b" not in ran.out
    out = tmp_path / "answers.jsonl"
    told = run(*args, "--agree", "text", "--out", str(out), "--json").json
    assert (told["pairs"], told["agreement"]["same"], told["exit_code"]) == (4, 0, 0)
    assert Decimal(told["a"]["spend"]["amount"]) * 2 == servers[0].bill.total
    assert Decimal(told["b"]["spend"]["amount"]) * 2 == servers[1].bill.total
    assert out.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["id"] for line in lines} == {"1", "2", "3", "4"}
    assert {(line["a"]["text"], line["b"]["text"]) for line in lines} == {("12.50", "The answer is 12.5")}
    rows = run("spend", "--by", "tag:side", "--json").json["rows"]
    assert sorted(row["key"]["tag:side"] for row in rows) == ["a", "b"]


def test_failures_and_budgets_have_exit_codes(
    run: Run, servers: tuple[BillServer, BillServer], args: tuple[str, ...]
) -> None:
    servers[0].script = Failure(422, "no")
    ran = run(*args)
    assert ran.code == 1
    assert "A: 4 UnprocessableRequest" in ran.err
    servers[0].script = Failure(401, "no")
    assert run(*args, "--json").json["exit_code"] == 4
    assert run("budget", "set", "0.000001", "--per", "total").code == 0
    ran = run(*args, "--max-tokens", "8")
    assert ran.code == 3
    assert "stopped after 0 of 4 prompts" in ran.err
    assert run("compare", "none.jsonl", "--a", "x", "--b", "y").code == 2
