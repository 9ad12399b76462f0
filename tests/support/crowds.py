"""Many calls at once under one hard budget: how many fit it, and what has to hold when they are through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE_COST, REFERENCE_WORST, booked

ROOT: Final = Path(__file__).parents[2]
UTILISATION: Final = Decimal("0.8")
"""The least share of the calls that fit which have to be answered."""

WORKER: Final = """
import asyncio, json, sys
from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from tests.support.doors import PROMPT, settings, through_async

url, ledger_url, limit, calls = sys.argv[1:]

async def main():
    with Ledger.open(ledger_url, budgets=[Budget(limit, per="total")]) as ledger:
        async with AsyncClient(**settings(url, ledger=ledger)) as client:
            async def call(number):
                try:
                    await through_async(client, PROMPT, streamed=number % 4 == 1, mode="thinking", max_tokens=500)
                except BudgetExceeded:
                    return "refused"
                return "answered"
            print("ready", flush=True)
            sys.stdin.readline()
            print(json.dumps(await asyncio.gather(*map(call, range(int(calls))))))

asyncio.run(main())
"""
"""One process with so many tasks, a quarter of which stream; it begins when it is told to."""


def fits(limit: str) -> int:
    """How many reference calls a budget admits: for the last one its worst case has to be free."""
    return 1 + int((Decimal(limit) - REFERENCE_WORST) / REFERENCE_COST)


def crowd(server: BillServer, ledger_url: str, limit: str, *, processes: int, calls: int) -> list[str]:
    """What became of each of `calls` reference calls in each of so many processes, which share one ledger."""
    command = [sys.executable, "-c", WORKER, server.url, ledger_url, limit, str(calls)]
    workers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(processes)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        results: list[str] = []
        for worker in workers:
            out, err = worker.communicate(timeout=100)
            assert worker.returncode == 0, err
            results += json.loads(out)
        return results
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def check_held(server: BillServer, ledger: Ledger, limit: str, results: Sequence[str]) -> None:
    """Nothing overspent, nothing lost or doubled, and the budget used as far as it can be."""
    server.quiet()
    bill, answered = server.bill.total, Counter(results)["answered"]
    assert bill <= Decimal(limit), f"overspent by {bill - Decimal(limit)}"
    assert bill == booked(ledger) == REFERENCE_COST * answered
    assert answered == len(server.requests) == len(ledger.attempts())
    assert answered >= UTILISATION * fits(limit)
    [status] = ledger.budget_status()
    assert (status.spent.amount, status.reserved.amount) == (bill, 0)
    assert {attempt.status for attempt in ledger.attempts()} == {"settled"}
