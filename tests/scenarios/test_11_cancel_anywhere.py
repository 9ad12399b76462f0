"""11, further: a call may be cancelled at any moment; nothing billed is lost, and nothing stays reserved."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, booked, owed, settings, through_async


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_call_may_be_cancelled_after_any_step(streamed: bool, tmp_path: Path) -> None:
    """One call after the other is cancelled one turn of the event loop later than the one before."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'spend.db'}", budgets=[Budget("100", per="total")])
    answered = 0
    async with (
        BillServer(REFERENCE.but(merge=20)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        for turns in range(400):
            task = asyncio.create_task(
                through_async(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500)
            )
            for _ in range(turns):
                if task.done():
                    break
                await asyncio.sleep(0 if turns < 40 else 0.0002 * 1.02 ** (turns - 40))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            answered += not task.cancelled()
            if answered == 3:
                break
        await server.wait_quiet()
    assert answered == 3, "the calls were never given time to end"
    attempts = ledger.attempts()
    assert not [attempt.id for attempt in attempts if attempt.status == "reserved"]
    assert len([attempt for attempt in attempts if attempt.cost.total]) >= len(server.bill)
    assert booked(ledger) >= owed(server) + (
        answered * server.bill.rates["thinking"].cost(0, 0, 500) if streamed else 0
    )
    [status] = ledger.budget_status()
    assert not status.reserved
    assert status.spent.amount == booked(ledger)
    ledger.close()


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_many_calls_may_be_cancelled_together(streamed: bool) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.02", per="total")])
    async with (
        BillServer(REFERENCE.but(merge=20, token_delay=0.0005)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        for pause in (0.0, 0.01, 0.05, 0.2):
            calls = [
                asyncio.create_task(through_async(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500))
                for _ in range(16)
            ]
            await asyncio.sleep(pause)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await server.wait_quiet()
    assert booked(ledger) >= owed(server)
    assert not [attempt.id for attempt in ledger.attempts() if attempt.status == "reserved"]
    [status] = ledger.budget_status()
    assert not status.reserved
    ledger.close()
