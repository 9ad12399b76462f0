"""26. A reservation whose owner died expires after its lease and becomes "unknown" spend; it is not forgotten."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_WORST, ask, booked

WORKER = """
import sys
from deepthrift import Client
from deepthrift_pricing import Ledger
from tests.support.doors import PROMPT, settings

url, path = sys.argv[1:]
ledger = Ledger.open(f"sqlite:///{path}", lease=0.5)
with Client(**settings(url, ledger=ledger)) as client:
    client.chat(PROMPT, mode="thinking", max_tokens=500)
"""


class Clock:
    """The time, which can be put ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def test_the_reservation_of_a_dead_process_becomes_unknown_spend(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(REFERENCE.but(hold=60)) as server:
        process = subprocess.Popen([sys.executable, "-c", WORKER, server.url, str(path)])
        await server.until(lambda s: len(s.bill) == 1)
        process.kill()
        process.wait()
        await server.wait_quiet()
    clock = Clock()
    budgets = [Budget("0.01", per="total")]
    with Ledger.open(f"sqlite:///{path}", budgets=budgets, lease=0.5, clock=clock) as ledger:
        [before] = ledger.attempts()
        assert before.reserved.amount == REFERENCE_WORST
        assert ledger.budget_status()[0].left.amount <= 1 - REFERENCE_WORST
        clock.ahead = timedelta(seconds=60)
        swept = ledger.sweep()
        [attempt] = ledger.attempts()
        assert attempt.status == "unknown"
        assert attempt.cost.certainty == "unknown"
        assert attempt.cost.amount == REFERENCE_WORST >= server.bill.total > 0
        assert [row.id for row in swept] in ([attempt.id], [])
        assert not ledger.sweep()
        assert booked(ledger) == REFERENCE_WORST
        [status] = ledger.budget_status()
        assert status.spent.amount == REFERENCE_WORST
        assert not status.reserved


async def test_a_call_that_outlives_its_lease_is_still_settled_exactly(tmp_path: Path) -> None:
    """A sweep by someone else while the call is under way must not double it, nor lose it."""
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    clock, swept = Clock(), threading.Event()
    with Ledger.open(url, lease=0.2) as ledger, Ledger.open(url, lease=0.2, clock=clock) as other:
        async with BillServer(REFERENCE.but(admission=swept)) as server:
            call = asyncio.create_task(ask("async", server, mode="thinking", max_tokens=500, client={"ledger": ledger}))
            await server.until(lambda s: len(s.requests) == 1)
            clock.ahead = timedelta(seconds=60)
            assert len(other.sweep()) == 1
            swept.set()
            await call
        assert booked(other) == server.bill.total
        [attempt] = other.attempts()
        assert attempt.status == "settled"
