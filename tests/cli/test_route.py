"""`deepthrift route` plans and asks nothing; the routed commands share one router."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger
from deepthrift_pricing.errors import LedgerUnavailable
from deepthrift_router.cli._answers.routing import progress
from deepthrift_router.cli._shared.output import Output
from tests.cli.conftest import Run
from tests.support.bill_server import Answer, BillServer
from tests.support.waiting import until

RATES = ("--prices", "official-2025-09-05")
VLLM = ("--host", "vllm", "--prices", "brief")
QUESTION = "Is 91 prime?"


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer("No.", reasoning="7 * 13.")) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer) -> dict[str, str]:
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "deepseek"}


def test_a_plan_asks_nothing_and_tells_all(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("route", *RATES, "--policy", "cascade", QUESTION, env=env)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Plan: cascade\nThe policy is to verify ")
    for told in ("p(right)", "at worst", "2nd sample", "standard is right with a probability of", "(default)"):
        assert told in ran.out
    assert "Would be bought: a standard answer, then a second sample (" in ran.out
    assert "nothing was asked" in ran.err
    assert server.requests == []
    assert run("spend", "--json", env=env).json["rows"] == []


def test_a_plan_as_json_has_the_chances_of_each_purchase(run: Run, env: dict[str, str]) -> None:
    decision = run("route", *RATES, "--policy", "cascade", "--json", QUESTION, env=env).json
    plans = {each["plan"]: each for each in decision["plans"]}
    assert (plans["standard"]["sampled"], plans["standard"]["escalated"]) == (0, 0)
    assert 0 < plans["cascade"]["escalated"] < plans["cascade"]["sampled"] <= 1
    assert (plans["thinking"]["sampled"], plans["thinking"]["escalated"]) == (0, 1)
    assert decision["evidence"] == []


def test_a_ladder_by_name(run: Run, server: BillServer) -> None:
    tiers = ("--url", server.url, "--tiers", "standard, standard@middle,thinking@big")
    planned = run("route", *VLLM, *tiers, "--policy", "cascade", QUESTION)
    assert planned.code == 0, planned.err
    assert "thinking@big of 0." in planned.out
    assert "then a higher tier, where the answer is not trusted" in planned.out
    assert server.requests == []
    ran = run("route", *VLLM, *tiers, "--policy", "thinking", "--run", "--json", QUESTION).json
    assert (ran["tier"], ran["path"]) == ("thinking@big", ["thinking@big"])
    assert [request.body["model"] for request in server.requests] == ["big"]
    refused = run("route", *VLLM, "--url", server.url, "--tiers", "standard,deeply", QUESTION)
    assert refused.code != 0
    assert "'deeply' is not a tier" in refused.err


def test_a_dead_endpoint_can_be_planned_for(run: Run) -> None:
    ran = run("route", *RATES, "--url", "http://127.0.0.1:9/v1", "--host", "deepseek", QUESTION)
    assert ran.code == 0, ran.err


def test_run_asks_and_books(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("route", *RATES, "--run", "--policy", "cascade", QUESTION, env=env)
    assert (ran.code, ran.out) == (0, "No.\n"), ran.err
    assert "standard > sample" in ran.err
    assert "second sample agrees" in ran.err
    assert ". The standard answer was accepted: the second sample agrees, so it is right" in ran.err
    [row] = run("spend", "--json", env=env).json["rows"]
    assert Decimal(row["total"]["amount"]) == server.bill.total


def test_a_seed_reaches_every_routed_call(run: Run, server: BillServer, env: dict[str, str]) -> None:
    for command in (("ask", "--mode", "auto"), ("route", "--run")):
        server.requests.clear()
        ran = run(*command, "--url", server.url, *VLLM, "--seed", "41", "--temperature", "0.5", QUESTION, env=env)
        assert ran.code == 0, ran.err
        assert [each.body["seed"] for each in server.requests[:2]] == [41, 42]
        assert {each.body["temperature"] for each in server.requests} == {0.5}


def test_every_routed_command_uses_the_setting_in_force_and_remembers(
    run: Run, env: dict[str, str], tmp_path: Path
) -> None:
    broken = Path(tmp_path / "home")
    env = {**env, "DEEPTHRIFT_HOME": str(broken)}
    rows = tmp_path / "in.jsonl"
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    rows.write_text(json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}))
    commands = (
        ("ask", *RATES, "--mode", "auto", QUESTION),
        ("chat", *RATES, "--mode", "auto"),
        ("route", *RATES, QUESTION),
        ("route", *RATES, "--run", QUESTION),
        ("batch", "run", str(rows), str(tmp_path / "out.jsonl"), *RATES, "--mode", "auto"),
    )
    for command in commands:
        ran = run(*command, env=env, input="Hello\n")
        assert ran.code == 0, ran.err
    assert (broken / "router.db").exists()
    (broken / "router").mkdir()
    (broken / "router" / "current").write_text("nonsense\n")
    (tmp_path / "out.jsonl").unlink()
    for command in commands:
        ran = run(*command, env=env, input="Hello\n")
        assert "there is no setting 'nonsense'" in ran.err, command


def test_a_price_list_beside_is_read_before_anything_is_asked(
    run: Run, server: BillServer, env: dict[str, str], tmp_path: Path
) -> None:
    for mode in ("standard", "auto"):
        ran = run("ask", *RATES, "--mode", mode, "--beside", "nonsense", QUESTION, env=env)
        assert (ran.code, "--beside" in ran.err) == (2, True)
    assert server.requests == []
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(
        'host = "elsewhere"\nsource = "a contract"\nchecked = 2026-11-01\ndecided_by = "start"\n'
        '[[price]]\nid = "one"\nmodels = ["other"]\nvalid_from = 2025-01-01T00:00:00Z\nusd = ["0.1", "0.2", "0.3"]\n'
    )
    ran = run("ask", *RATES, "--json", "--beside", str(elsewhere), "--beside", "brief", QUESTION, env=env)
    assert ran.code == 0, ran.err
    assert ran.json["text"] == "No."
    assert ran.json["beside"][str(elsewhere)] is None
    assert Decimal(ran.json["beside"]["brief"]["total"]["amount"]) > 0


async def test_a_ledger_that_cannot_be_read_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def fails(*_: object, **__: object) -> None:
        looked.append(1)
        raise LedgerUnavailable("the disk is gone")

    output = Output()
    monkeypatch.setattr(output.err, "_force_terminal", True)
    with Ledger.open("memory:") as ledger:
        monkeypatch.setattr(ledger, "attempts", fails)
        async with progress(ledger, output, "routing"):
            await until(lambda: looked)
    assert looked
