"""Refused calls are counted in the store: once for each budget that refused, and never while a call still waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_pricing.alerts import AlertMonitor, CallbackSink, Threshold
from deepthrift_pricing.errors import BudgetExceeded, ConfigurationError
from tests.pricing.ledgers import BILL, NOON, WORST, Clock, settle, wanted
from tests.support.databases import STORES, store_url


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as url:
        yield url


def refuse(ledger: Ledger, count: int = 1, **how: str) -> None:
    for _ in range(count):
        with pytest.raises(BudgetExceeded):
            ledger.try_reserve(wanted("0.5", **how))  # type: ignore[arg-type]


def refused(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in ledger.refusals():
        found[row.budget] = found.get(row.budget, 0) + row.refused
    return found


def test_a_refused_call_counts_in_every_budget_that_refused_it(url: str) -> None:
    budgets = [Budget("0.1", per="day", name="a"), Budget("0.2", per="total", name="b"), Budget("1", per="day")]
    with Ledger.open(url, budgets=budgets, clock=Clock()) as ledger:
        refuse(ledger, 3)
        refuse(ledger, 1, mode="thinking")
        assert refused(ledger) == {"a": 4, "b": 4}
        row = next(row for row in ledger.refusals() if row.budget == "a" and row.mode == "standard")
        assert (row.refused, row.needed, row.limit) == (3, Money.of("0.5"), Money.of("0.1"))
        assert (row.host, row.first_at, row.last_at) == ("vllm", NOON, NOON)
        assert sorted(status.refused for status in ledger.budget_status()) == [0, 4, 4]
        assert ledger.attempts() == []


def test_windows_parts_and_limits_are_counted_apart(url: str) -> None:
    clock = Clock()
    budgets = [Budget("0.1", per="hour", each="user", name="each"), Budget("0.2", per="call", name="call")]
    with Ledger.open(url, budgets=budgets, clock=clock) as ledger:
        for user in ("ann", "ann", "bob"):
            with pytest.raises(BudgetExceeded):
                ledger.try_reserve(wanted("0.5", tags={"user": user}))
        found = {(status.name, status.part): status.refused for status in ledger.budget_status()}
        assert found == {("each", '{"user": "ann"}'): 2, ("each", '{"user": "bob"}'): 1, ("call", ""): 0}
        clock.move(hours=1)
        found = {(status.name, status.part): status.refused for status in ledger.budget_status()}
        assert found == {("each", ""): 0, ("call", ""): 0}
        assert refused(ledger) == {"each": 3, "call": 3}
        assert ledger.refusals(since=NOON + timedelta(minutes=1)) == []
        assert ledger.refusals(until=NOON) == []


def test_a_rolling_budget_forgets_them_with_its_window(url: str) -> None:
    clock = Clock()
    with Ledger.open(url, budgets=[Budget("0.1", per=timedelta(hours=2))], clock=clock) as ledger:
        refuse(ledger)
        clock.move(hours=1)
        assert ledger.budget_status()[0].refused == 1
        clock.move(hours=2)
        assert ledger.budget_status()[0].refused == 0


async def test_a_call_that_waits_counts_only_when_its_wait_is_over(url: str) -> None:
    with Ledger.open(url, budgets=[Budget("0.003", per="day", name="a")]) as ledger:
        first = ledger.try_reserve(wanted())
        waiting = asyncio.create_task(ledger.reserve(wanted()))
        with pytest.raises(BudgetExceeded):
            await ledger.reserve(wanted(), timeout=0.05)
        assert refused(ledger) == {"a": 1}
        settle(ledger, first.id, "0.0001")
        await waiting
        assert refused(ledger) == {"a": 1}
        with pytest.raises(BudgetExceeded):
            ledger.reserve_blocking(wanted(), timeout=0.01)
        assert refused(ledger) == {"a": 2}
        with pytest.raises(BudgetExceeded):
            await ledger.reserve(wanted("1"))  # it can never fit, so it does not wait
        assert refused(ledger) == {"a": 3}


def test_a_refitted_call_is_not_refused_and_a_broken_one_is_not_counted(url: str) -> None:
    with Ledger.open(url, budgets=[Budget("0.001", per="day", policy="clamp")]) as ledger:
        request = wanted()
        ledger.try_reserve(request, refit=lambda each, room, policy: each.model_copy(update={"worst": room}))
        with pytest.raises(ConfigurationError):
            ledger.try_reserve(wanted("9000000"))
        assert refused(ledger) == {}


def test_threads_and_connections_count_every_refusal(url: str) -> None:
    if url == "memory:":
        pytest.skip("two ledgers in memory have nothing in common")
    budgets = [Budget("0.1", per="day", name="a")]
    with Ledger.open(url, budgets=budgets) as one, Ledger.open(url, budgets=budgets) as other:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda ledger: refuse(ledger, 5), [one, other, one, other]))
        assert refused(one) == refused(other) == {"a": 20}


def test_prune_forgets_what_is_old(url: str) -> None:
    clock = Clock()
    with Ledger.open(url, budgets=[Budget("0.1", per="day", name="a")], clock=clock) as ledger:
        refuse(ledger)
        clock.move(days=40)
        refuse(ledger, 2)
        ledger.prune(clock() - timedelta(days=30))
        assert refused(ledger) == {"a": 2}


@given(st.lists(st.sampled_from(["ann", "bob", "cy"]), max_size=12), st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_the_counts_add_up_whoever_calls_when(users: list[str], hours: int) -> None:
    clock = Clock()
    budgets = [Budget("0.1", per="day", each="user", name="each"), Budget("0.1", per="week", name="all")]
    with Ledger.open(budgets=budgets, clock=clock) as ledger:
        for user in users:
            with pytest.raises(BudgetExceeded):
                ledger.try_reserve(wanted("0.2", tags={"user": user}))
            clock.move(hours=hours)
        assert sum(row.refused for row in ledger.refusals()) == 2 * len(users)
        assert len(ledger.refusals()) <= 2 * len(users)


def test_the_hundred_per_cent_alert_fires_once_when_calls_are_refused(tmp_path: Path) -> None:
    clock = Clock()
    budgets = [Budget("0.0025", per="day", name="team"), Budget("0.9", per="call", name="call")]
    heard: list[str] = []
    path = tmp_path / "a.db"
    with (
        Ledger.open(path, budgets=budgets, clock=clock) as one,
        Ledger.open(path, budgets=budgets, clock=clock) as other,
    ):
        monitors = [
            AlertMonitor(
                each, rules=[Threshold("1")], sinks=[CallbackSink(lambda a: heard.append(a.title))], clock=clock
            )
            for each in (one, other)
        ]
        settle(one, one.try_reserve(wanted()).id)
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                one.try_reserve(wanted())
            for monitor in monitors:
                monitor.check()
        assert heard == ["The budget team refuses calls"]
        settle(one, one.try_reserve(wanted("0.001")).id, "0.0014")  # past all of it: the same alert
        for monitor in monitors:
            monitor.check()
        assert heard == ["The budget team refuses calls"]
        clock.move(days=1)
        refuse(other)
        for monitor in monitors:
            monitor.check()
        assert heard == ["The budget team refuses calls"] * 2
        with pytest.raises(BudgetExceeded):
            other.try_reserve(wanted("1"))
        for monitor in monitors:
            monitor.check()
        assert heard[2:] == ["The budget call refuses calls"]


def test_only_the_whole_share_speaks_of_refusals() -> None:
    with Ledger.open(budgets=[Budget(WORST, per="day", name="team")]) as ledger:
        settle(ledger, ledger.try_reserve(wanted()).id, BILL)
        refuse(ledger)
        rules = [Threshold("0.9"), Threshold("1.2")]
        assert AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(print)]).check() == []
