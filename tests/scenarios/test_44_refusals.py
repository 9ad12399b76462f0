"""44. Refusals are counted, alerted and exported: the 100 % alert fires once when a budget begins to refuse calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from deepthrift import AsyncClient, Client
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import AlertMonitor, CallbackSink
from deepthrift_pricing.prometheus import LedgerCollector
from deepthrift_pricing.reports import Report
from deepthrift_router import ModeRouter
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, Door, ask, every_door, settings

BUDGET = Budget("0.004", per="day", name="team")
"""Room for two calls of 0.00120736, whose worst case is 0.00196: the third finds 60 % spent, and no room."""
THINK = {"mode": "thinking", "max_tokens": 500}

WORKER = """
import sys
from deepthrift import Client
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import AlertMonitor, WebhookSink
from tests.scenarios.test_44_refusals import BUDGET, THINK
from tests.support.doors import PROMPT, settings

url, hook, path = sys.argv[1:]
with Ledger.open(f"sqlite:///{path}", budgets=[BUDGET]) as ledger:
    with AlertMonitor(ledger, sinks=[WebhookSink(hook, secret="a secret of sixteen bytes")], every=0.1):
        with Client(**settings(url, ledger=ledger)) as client:
            for _ in range(5):
                try:
                    client.chat(PROMPT, **THINK)
                except BudgetExceeded:
                    pass
"""


def refused(ledger: Ledger) -> int:
    return sum(row.refused for row in ledger.refusals())


@every_door
async def test_every_door_counts_what_is_refused(door: Door) -> None:
    with Ledger.open(budgets=[BUDGET]) as ledger:
        async with BillServer(REFERENCE) as server:
            for _ in range(2):
                await ask(door, server, client={"ledger": ledger}, **THINK)
            for _ in range(3):
                with pytest.raises(BudgetExceeded):
                    await ask(door, server, client={"ledger": ledger}, **THINK)
            assert len(server.requests) == 2
        assert refused(ledger) == ledger.budget_status()[0].refused == 3


async def test_a_routed_call_is_counted() -> None:
    with Ledger.open(budgets=[Budget("0.000001", per="day", name="team")]) as ledger:
        async with BillServer(REFERENCE) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            with pytest.raises(BudgetExceeded):
                await ModeRouter(client).chat(PROMPT, max_tokens=500)
        assert refused(ledger) == 1
        assert server.requests == []


@pytest.mark.slow
def test_four_processes_one_alert_and_every_refusal_in_ledger_metrics_report_and_command(tmp_path: Path) -> None:
    heard: list[str] = []
    path = tmp_path / "spend.db"
    with BillServer(REFERENCE, routes={"/alerts": lambda request: heard.append(json.loads(request.body)["title"])}) as (
        server
    ):
        command = [sys.executable, "-c", WORKER, server.url, f"{server.origin}/alerts", str(path)]
        workers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
        for worker in workers:
            _, errors = worker.communicate(timeout=120)
            assert worker.returncode == 0, errors.decode()
        answered = len(server.requests)
    assert answered < 20
    assert heard.count("The budget team refuses calls") == 1
    assert not [title for title in heard if title.startswith("100 %")]
    with Ledger.open(path, budgets=[BUDGET]) as ledger:
        assert refused(ledger) == 20 - answered
        registry = CollectorRegistry()
        registry.register(LedgerCollector(ledger))
        [line] = [
            line
            for line in generate_latest(registry).decode().splitlines()
            if line.startswith("deepthrift_refusals_total{")
        ]
        assert 'budget="team"' in line
        assert float(line.rpartition(" ")[2]) == 20 - answered
        assert sum(row.refused for row in Report.of(ledger).refusals) == 20 - answered
    shown = subprocess.run(
        [sys.executable, "-m", "deepthrift_router.cli", "spend", "--ledger", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{20 - answered} calls refused by the budget team" in " ".join(shown.stdout.split())


def test_an_alert_within_the_process_and_none_while_nothing_is_refused() -> None:
    heard: list[str] = []
    with (
        BillServer(REFERENCE) as server,
        Ledger.open(budgets=[BUDGET]) as ledger,
        Client(**settings(server, ledger=ledger)) as client,
    ):
        monitor = AlertMonitor(ledger, sinks=[CallbackSink(lambda alert: heard.append(alert.title))])
        for _ in range(2):
            client.chat(PROMPT, **THINK)
        monitor.check()
        assert not [title for title in heard if "refuses" in title]
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                client.chat(PROMPT, **THINK)
            monitor.check()
    assert [title for title in heard if "refuses" in title] == ["The budget team refuses calls"]


async def test_a_call_that_waits_and_is_answered_is_not_refused() -> None:
    with Ledger.open(budgets=[Budget("0.003", per="day")]) as ledger:
        async with (
            BillServer(REFERENCE.but(text=["a"], reasoning=["a"], delay=0.05)) as server,
            AsyncClient(**settings(server, ledger=ledger)) as client,
        ):
            await asyncio.gather(*(client.chat(PROMPT, **THINK) for _ in range(2)))
        assert refused(ledger) == 0
