"""A routed answer may be cancelled at any moment: the bill is booked, and nothing stays open."""

from __future__ import annotations

import asyncio
import threading

import pytest

from deepthrift_pricing import Ledger
from tests.router.support import CANBERRA, QUESTION, SYDNEY, routing
from tests.support.bill_server import Answer


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["answer", "sample", "escalate"])
async def test_cancelled_during(stage: int) -> None:
    ledger = Ledger.open("memory:")
    slow = Answer("Canberra.", hold=30.0)
    standard = [slow if stage == 0 else SYDNEY, slow if stage == 1 else Answer("Canberra.")]
    async with routing(standard, slow if stage == 2 else CANBERRA, ledger=ledger) as (router, server):
        task = asyncio.ensure_future(router.chat(QUESTION, max_tokens=400))
        await server.until(lambda seen: len(seen.bill.lines) == stage + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        attempts = ledger.attempts()
    assert len(attempts) == stage + 1
    assert all(attempt.status in ("settled", "unknown") for attempt in attempts)
    assert sum(attempt.cost.amount for attempt in attempts) >= server.bill.total
    assert len({attempt.group_id for attempt in attempts}) == 1
    ledger.close()


async def test_the_client_serves_on_after_many_cancels() -> None:
    admission = threading.Event()
    async with routing(Answer("Canberra.", admission=admission)) as (router, server):
        tasks = [asyncio.ensure_future(router.chat(QUESTION, max_tokens=50)) for _ in range(30)]
        await server.until(lambda seen: len(seen.requests) >= 15)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        admission.set()
        reply = await router.chat(QUESTION, max_tokens=50)
    assert reply.text == "Canberra."
