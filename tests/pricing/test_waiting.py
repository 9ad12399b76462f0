"""Waiting for room: overspend is zero, callers are served in order, and whoever gives up leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift_pricing import Attempt, Budget, Ledger, Money
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import BILL, NOON, WORST, Clock, settle, spent, wanted
from tests.support.databases import STORES, store_url
from tests.support.waiting import PATIENCE, turns, until, until_waiting


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def call(ledger: Ledger, **settings: Any) -> str:
    try:
        attempt = await ledger.reserve(wanted(**settings))
    except BudgetExceeded:
        return "refused"
    await turns()
    settle(ledger, attempt.id)
    return "answered"


@pytest.mark.parametrize("calls", [64, pytest.param(1000, marks=pytest.mark.slow)])
async def test_concurrent_calls_overspend_nothing_and_use_all_that_fits(
    url: str, opened: ExitStack, calls: int
) -> None:
    """0.01 USD holds seven calls of 0.00120736, of which five fit by their worst case of 0.00196 at a time."""
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.01", per="total")]))
    results = await asyncio.gather(*(call(ledger) for _ in range(calls)))
    assert results.count("answered") == 7
    assert spent(ledger) == Money.of(BILL) * 7
    [status] = ledger.budget_status()
    assert (status.spent, status.reserved) == (Money.of(BILL) * 7, Money(0))


async def test_a_budget_that_refuses_does_so_at_once(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.01", per="total", policy="refuse")]))
    results = await asyncio.gather(*(call(ledger) for _ in range(64)))
    assert results.count("answered") == 5


async def test_what_can_never_fit_is_refused_at_once(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="total")]))
    in_flight = ledger.try_reserve(wanted())
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BudgetExceeded):
            await ledger.reserve(wanted("0.0031"))
        settle(ledger, in_flight.id)
        with pytest.raises(BudgetExceeded):
            await ledger.reserve(wanted())


async def test_a_waiter_goes_on_the_moment_room_comes_free(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="total")]))
    for end in ("settle", "release"):
        in_flight = ledger.try_reserve(wanted("0.0025"))
        waiting = asyncio.create_task(ledger.reserve(wanted("0.0025")))
        await until_waiting(ledger, 1)
        assert not waiting.done()
        if end == "settle":
            settle(ledger, in_flight.id, "0.0001")
        else:
            ledger.release(in_flight.id, ended_at=NOON)
        async with asyncio.timeout(PATIENCE):
            attempt = await waiting
        settle(ledger, attempt.id, "0.0001")


async def test_a_waiter_is_refused_once_nothing_can_come_free(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="total")]))
    in_flight = ledger.try_reserve(wanted("0.002"))
    waiting = asyncio.create_task(ledger.reserve(wanted("0.002")))
    await until_waiting(ledger, 1)
    settle(ledger, in_flight.id, "0.002")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BudgetExceeded) as refused:
            await waiting
    assert refused.value.status is not None
    assert refused.value.status.spent == Money.of("0.002")


async def test_callers_are_served_in_order_and_a_small_one_does_not_overtake(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.01", per="total")]))
    first = ledger.try_reserve(wanted("0.005"))
    second = ledger.try_reserve(wanted("0.004"))
    served: list[str] = []

    async def queue(name: str, worst: str) -> Attempt:
        attempt = await ledger.reserve(wanted(worst))
        served.append(name)
        return attempt

    tasks = []
    for name, worst in (("large", "0.0062"), ("small", "0.0001"), ("tiny", "0.000001")):
        tasks.append(asyncio.create_task(queue(name, worst)))
        await until_waiting(ledger, len(tasks))
    assert served == []
    settle(ledger, second.id, "0.00001")
    await turns()
    assert served == []
    settle(ledger, first.id, "0.00001")
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)
    assert served == ["large", "small", "tiny"]


async def test_those_who_wait_for_one_budget_do_not_hold_up_another(url: str, opened: ExitStack) -> None:
    budgets = [Budget("0.002", per="total", tags={"team": team}) for team in ("ads", "search")]
    ledger = opened.enter_context(Ledger.open(url, budgets=budgets))
    in_flight = ledger.try_reserve(wanted(tags={"team": "ads"}))
    waiting = asyncio.create_task(ledger.reserve(wanted(tags={"team": "ads"})))
    await until_waiting(ledger, 1)
    async with asyncio.timeout(PATIENCE):
        other = await ledger.reserve(wanted(tags={"team": "search"}))
        free = await ledger.reserve(wanted())
    ledger.release(in_flight.id, ended_at=NOON)
    async with asyncio.timeout(PATIENCE):
        last = await waiting
    for attempt in (other, free, last):
        settle(ledger, attempt.id)


async def test_a_timeout_is_kept_and_told(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="total")]))
    ledger.try_reserve(wanted())
    began = time.monotonic()
    results = await asyncio.gather(*(ledger.reserve(wanted(), timeout=0.2) for _ in range(5)), return_exceptions=True)
    assert time.monotonic() - began >= 0.2
    for error in results:
        assert isinstance(error, BudgetExceeded)
        assert "Waited 0.2 s for room" in str(error)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve(wanted(), timeout=0)
    assert len(ledger.attempts()) == 1


async def test_cancelled_waiters_leave_nothing_and_pass_their_turn_on(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.002", per="total")]))
    in_flight = ledger.try_reserve(wanted())
    waiting = [asyncio.create_task(ledger.reserve(wanted())) for _ in range(20)]
    await until_waiting(ledger, 20)
    for task in waiting[:10]:
        task.cancel()
    ledger.release(in_flight.id, ended_at=NOON)
    for task in waiting[10:19]:
        task.cancel()
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*waiting, return_exceptions=True)
    attempts = [result for result in results if isinstance(result, Attempt)]
    assert len(attempts) == 1
    [status] = ledger.budget_status()
    assert status.reserved == Money.of(WORST)
    settle(ledger, attempts[0].id)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve(wanted())


async def test_a_storm_of_cancellations_books_what_was_reserved_and_nothing_else(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.01", per="total")]))

    async def flighty(number: int) -> None:
        attempt = await ledger.reserve(wanted())
        try:
            await turns(3 * (number % 5))
        except asyncio.CancelledError:
            ledger.hold_unknown(attempt.id)
            raise
        ledger.release(attempt.id, ended_at=NOON)

    tasks = [asyncio.create_task(flighty(number)) for number in range(200)]
    for number, task in enumerate(tasks):
        if number % 2:
            await turns(2)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(attempt.status != "reserved" for attempt in ledger.attempts())
    [status] = ledger.budget_status()
    assert status.reserved == Money(0)
    assert status.spent == status.unknown == spent(ledger) <= Money.of("0.01")


async def test_a_dead_neighbours_lease_ends_the_wait(opened: ExitStack, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    clock = Clock()
    dead = opened.enter_context(Ledger.open(url, lease=60, clock=clock))
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="total")], lease=60, clock=clock))
    dead.try_reserve(wanted())
    waiting = asyncio.create_task(ledger.reserve(wanted()))
    await until_waiting(ledger, 1)
    assert not waiting.done()
    clock.move(seconds=61)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(BudgetExceeded) as refused:
            await waiting
    assert refused.value.status is not None
    assert refused.value.status.unknown == Money.of(WORST)


async def test_a_waiter_goes_on_when_the_window_turns_over(url: str, opened: ExitStack) -> None:
    clock = Clock()
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.003", per="day")], clock=clock))
    settle(ledger, ledger.try_reserve(wanted("0.001")).id, "0.0005")
    ledger.try_reserve(wanted("0.002"))
    waiting = asyncio.create_task(ledger.reserve(wanted("0.0024")))
    await until_waiting(ledger, 1)
    assert not waiting.done()
    clock.move(days=1)
    async with asyncio.timeout(PATIENCE):
        attempt = await waiting
    assert attempt.started_at == clock.now


async def test_room_made_by_another_ledger_on_the_file_is_found(opened: ExitStack, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    budgets = [Budget("0.003", per="total")]
    one, other = (opened.enter_context(Ledger.open(url, budgets=budgets)) for _ in range(2))
    in_flight = one.try_reserve(wanted())
    waiting = asyncio.create_task(other.reserve(wanted("0.001")))
    await until(waiting.done)
    waiting_more = asyncio.create_task(other.reserve(wanted()))
    settle(one, in_flight.id, "0.00001")
    async with asyncio.timeout(PATIENCE):
        first = await waiting
        settle(other, first.id, "0.00001")
        settle(other, (await waiting_more).id)


def test_64_threads_overspend_nothing_and_use_all_that_fits(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.01", per="total")]))

    def worker(_: int) -> str:
        try:
            attempt = ledger.reserve_blocking(wanted())
        except BudgetExceeded:
            return "refused"
        settle(ledger, attempt.id)
        return "answered"

    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(worker, range(64)))
    assert results.count("answered") == 7
    assert spent(ledger) == Money.of(BILL) * 7


def test_several_event_loops_share_one_ledger(url: str, opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open(url, budgets=[Budget("0.02", per="total")]))
    results: list[str] = []

    async def crowd() -> list[str]:
        return await asyncio.gather(*(call(ledger) for _ in range(16)))

    threads = [threading.Thread(target=lambda: results.extend(asyncio.run(crowd()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 64
    assert results.count("answered") == 15  # 15 × 0.00120736 + 0.00196 > 0.02
    assert spent(ledger).amount == 15 * Decimal(BILL)


def test_a_thread_that_waits_too_long_is_told(opened: ExitStack) -> None:
    ledger = opened.enter_context(Ledger.open("memory:", budgets=[Budget("0.003", per="total")]))
    ledger.try_reserve(wanted())
    with pytest.raises(BudgetExceeded, match=r"Waited 0\.05 s"):
        ledger.reserve_blocking(wanted(), timeout=0.05)


async def test_waiting_survives_a_loop_that_has_died(opened: ExitStack) -> None:
    """A waiter whose loop is gone is woken in vain, and must not break who settles."""
    ledger = opened.enter_context(Ledger.open("memory:", budgets=[Budget("0.003", per="total")]))
    in_flight = ledger.try_reserve(wanted())

    def abandon() -> None:
        loop = asyncio.new_event_loop()
        coroutine = ledger.reserve(wanted())
        loop.run_until_complete(asyncio.sleep(0))
        task = loop.create_task(coroutine)
        loop.run_until_complete(until_waiting(ledger, 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    await asyncio.to_thread(abandon)
    settle(ledger, in_flight.id)
    assert len(ledger.attempts()) == 1
