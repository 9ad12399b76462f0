"""22. A threshold alert fires exactly once in each window, also under concurrency and across processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import Alert, AlertMonitor, CallbackSink, Threshold
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, ask, settings
from tests.support.http11 import RawRequest

WORKER = """
import asyncio, sys
from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import AlertMonitor, Threshold, WebhookSink
from tests.support.doors import PROMPT, settings

url, hook, path = sys.argv[1:]

async def main():
    async with AsyncClient(**settings(url, ledger=ledger)) as client:
        calls = [client.chat(PROMPT, mode="thinking", max_tokens=500) for _ in range(8)]
        await asyncio.gather(*calls, return_exceptions=True)

with Ledger.open(f"sqlite:///{path}", budgets=[Budget("0.01", per="total", name="shared")]) as ledger:
    rules = [Threshold("0.5"), Threshold("0.8"), Threshold("1")]
    with AlertMonitor(ledger, rules=rules, sinks=[WebhookSink(hook, secret="a secret of sixteen bytes")], every=0.01):
        asyncio.run(main())
"""


async def test_four_processes_under_load_tell_of_each_threshold_once(tmp_path: Path) -> None:
    """Seven calls of 0.00120736 fit into 0.01: half and four fifths are passed, and the others are refused."""
    told: list[str] = []

    def hook(request: RawRequest) -> object:
        told.append(json.loads(request.body)["title"])
        return {}

    async with BillServer(REFERENCE.but(delay=0.02), routes={"/alerts": hook}) as server:
        command = [sys.executable, "-c", WORKER, server.url, f"{server.origin}/alerts", str(tmp_path / "spend.db")]
        workers = [await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE) for _ in range(4)]
        for worker in workers:
            _, errors = await worker.communicate()
            assert worker.returncode == 0, errors.decode()
        assert len(server.bill) == 7
    assert sorted(told) == [
        "50 % of the budget shared is spent",
        "80 % of the budget shared is spent",
        "The budget shared refuses calls",
    ]


async def test_many_calls_and_monitors_tell_of_a_threshold_once_in_each_window() -> None:
    told: list[Alert] = []
    today = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    ledger = Ledger.open("memory:", budgets=[Budget("0.003", per="day", name="daily")], clock=lambda: today[0])
    monitors = [
        AlertMonitor(
            ledger, rules=[Threshold("0.4")], sinks=[CallbackSink(told.append)], every=0.005, clock=lambda: today[0]
        )
        for _ in range(4)
    ]
    async with (
        BillServer(REFERENCE.but(delay=0.01)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        for monitor in monitors:
            monitor.start()
        for day in range(1, 5):
            calls = [client.chat(PROMPT, mode="thinking", max_tokens=500) for _ in range(16)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(result, BudgetExceeded) for result in results) == 15
            await asyncio.gather(*[asyncio.to_thread(monitor.check) for monitor in monitors])
            assert len(told) == day
            today[0] += timedelta(days=1)
        for monitor in monitors:
            await asyncio.to_thread(monitor.close)
    windows = [alert.status.window_start for alert in told if alert.status is not None]
    assert windows == [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 5)]
    ledger.close()


async def test_a_restart_does_not_tell_again(tmp_path: Path) -> None:
    told: list[Alert] = []
    url, budgets = f"sqlite:///{tmp_path / 'spend.db'}", [Budget("0.002", per="total")]
    async with BillServer(REFERENCE) as server:
        with Ledger.open(url, budgets=budgets) as ledger:
            await ask("async", server, mode="thinking", max_tokens=500, client={"ledger": ledger})
    for _ in range(3):
        with (
            Ledger.open(url, budgets=budgets) as ledger,
            AlertMonitor(ledger, rules=[Threshold("0.5")], sinks=[CallbackSink(told.append)]),
        ):
            pass
    assert len(told) == 1
