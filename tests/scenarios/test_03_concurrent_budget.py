"""3. Concurrent calls under one hard budget: never a cent over it, and they wait while room can still come free."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Reply
from deepthrift.errors import APIError, BudgetExceeded, ResponseError
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Answer, BillServer, Drop, Failure, Received
from tests.support.crowds import check_held, fits
from tests.support.databases import store_url
from tests.support.doors import (
    PROMPT,
    REFERENCE,
    REFERENCE_COST,
    REFERENCE_WORST,
    Door,
    ask,
    booked,
    every_door,
    settings,
    through_async,
)
from tests.support.waiting import until_waiting

SEVEN = 7
"""Calls of 0.00120736 that a budget of 0.01 admits when each has to reserve 0.00196."""


async def _storm(
    server: BillServer, ledger: Ledger, streamed: bool | None, calls: int = 64
) -> list[Reply | BaseException]:
    """What became of so many calls at once; with `streamed=None`, every fourth one streams."""
    doors = [number % 4 == 1 if streamed is None else streamed for number in range(calls)]
    async with AsyncClient(**settings(server, ledger=ledger)) as client:
        asked = [through_async(client, PROMPT, streamed=door, mode="thinking", max_tokens=500) for door in doors]
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_64_calls_fit_seven_times_and_never_overspend() -> None:
    for streamed in (False, True):
        ledger = Ledger.open("memory:", budgets=[Budget("0.01", per="total")])
        async with BillServer(REFERENCE.but(delay=0.05)) as server:
            results = await _storm(server, ledger, streamed)
        replies = [result for result in results if isinstance(result, Reply)]
        assert len(replies) == SEVEN
        assert sum(isinstance(result, BudgetExceeded) for result in results) == 64 - SEVEN
        assert len(server.requests) == SEVEN
        assert server.bill.total == booked(ledger) == REFERENCE_COST * SEVEN
        [status] = ledger.budget_status()
        assert status.spent.amount == server.bill.total <= Decimal("0.01")
        assert not status.reserved
        ledger.close()


async def test_only_as_many_calls_are_in_flight_as_their_worst_case_allows() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.01", per="total")])
    async with BillServer(REFERENCE.but(delay=0.1)) as server:
        await _storm(server, ledger, streamed=False)
    assert server.peak_in_flight * REFERENCE_WORST <= Decimal("0.01")
    ledger.close()


async def test_a_refusing_budget_does_not_wait() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.01", per="total", policy="refuse")])
    async with BillServer(REFERENCE.but(delay=0.5)) as server:
        results = await _storm(server, ledger, streamed=False)
    assert sum(isinstance(result, Reply) for result in results) == 5
    assert server.bill.total == REFERENCE_COST * 5
    ledger.close()


async def test_a_cancelled_wait_leaves_nothing_reserved() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.002", per="total")])
    settled = threading.Event()
    async with (
        BillServer(REFERENCE.but(held_until=settled)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        first = asyncio.create_task(client.chat(PROMPT, mode="thinking", max_tokens=500))
        await server.until(lambda s: s.in_flight == 1)
        waiting = asyncio.create_task(client.chat(PROMPT, mode="thinking", max_tokens=500))
        await until_waiting(ledger, 1)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        settled.set()
        await first
    [status] = ledger.budget_status()
    assert not status.reserved
    assert status.spent.amount == server.bill.total == REFERENCE_COST
    ledger.close()


@every_door
async def test_a_call_that_waits_goes_out_when_the_other_settles(door: Door) -> None:
    """Room for one worst case and one true cost: the second call waits for the first and then fits."""
    ledger = Ledger.open("memory:", budgets=[Budget("0.0032", per="total")])
    async with BillServer(REFERENCE.but(delay=0.2)) as server:
        calls = [ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger}) for _ in range(2)]
        replies = await asyncio.gather(*calls)
    assert server.peak_in_flight == 1
    assert sum(reply.cost.amount for reply in replies) == server.bill.total == booked(ledger)
    ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
async def test_1000_calls_overspend_nothing_and_leave_nothing_unused(kind: str, tmp_path: Path) -> None:
    limit = "0.25"
    with store_url(kind, tmp_path) as url, Ledger.open(url, budgets=[Budget(limit, per="total")]) as ledger:
        async with BillServer(REFERENCE.but(delay=0.02)) as server:
            results = await _storm(server, ledger, None, 1000)
            assert all(isinstance(each, Reply | BudgetExceeded) for each in results)
            told = ["answered" if isinstance(each, Reply) else "refused" for each in results]
            check_held(server, ledger, limit, told)
        assert told.count("answered") == fits(limit)


@pytest.mark.slow
async def test_1000_calls_to_a_failing_host_overspend_nothing() -> None:
    """Refusals, billed answers that are lost and streams that are cut: the bill stays below what is booked."""

    def unsteady(request: Received) -> Answer | Failure | Drop:
        if request.number % 7 == 3:
            return Failure(429, "slow down", retry_after="0")
        if request.number % 11 == 5:
            return Drop(billed=REFERENCE)
        if request.number % 13 == 6:
            return REFERENCE.but(cut_after=100)
        return REFERENCE.but(delay=0.02)

    limit = "0.25"
    with Ledger.open("memory:", budgets=[Budget(limit, per="total")]) as ledger:
        async with BillServer(unsteady) as server:
            results = await _storm(server, ledger, None, 1000)
            await server.wait_quiet()
        assert all(isinstance(each, Reply | BudgetExceeded | APIError | ResponseError) for each in results)
        assert any(isinstance(each, APIError) for each in results)
        assert any(isinstance(each, ResponseError) for each in results)
        [status] = ledger.budget_status()
        assert server.bill.total <= status.spent.amount == booked(ledger) <= Decimal(limit)
        assert not status.reserved
        assert status.unknown
        assert status.spent.amount >= Decimal("0.8") * Decimal(limit)
        assert sum(isinstance(each, Reply) for each in results) * REFERENCE_COST <= server.bill.total
