"""Old attempts can be deleted without a budget forgetting what it has counted. On every kind of store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import BILL, Clock, cost, settle, wanted
from tests.support.databases import STORES, store_url


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as found:
        yield found


def test_pruning_keeps_what_is_under_way_and_what_budgets_count(url: str) -> None:
    clock = Clock()
    budgets = [
        Budget("100", per="total", name="total"),
        Budget("100", per="month", name="month"),
        Budget("100", per="day", name="day"),
        Budget("100", per="call", name="call"),
    ]
    with Ledger.open(url, budgets=budgets, clock=clock, lease=10**7) as ledger:
        for number in range(6):
            ledger.try_reserve(wanted(attempt=f"a{number}", call=f"c{number}"))
            if number != 1:
                settle(ledger, f"a{number}")
            clock.move(days=1)
        counted = {status.name: status.spent for status in ledger.budget_status() if status.name != "call"}
        assert ledger.prune(clock.now - timedelta(days=2)) == 3
        assert [attempt.id for attempt in ledger.attempts()] == ["a1", "a4", "a5"]
        assert {status.name: status.spent for status in ledger.budget_status() if status.name != "call"} == counted
        assert counted["total"] == Money.of(BILL) * 5
        ledger.settle("a1", usage=None, cost=cost(), ended_at=clock.now)
        total = next(status for status in ledger.budget_status() if status.name == "total")
        assert total.spent == Money.of(BILL) * 6
        assert total.reserved == Money(0)
        assert ledger.prune(clock.now) == 3
        assert ledger.prune(clock.now) == 0


def test_a_full_budget_stays_full(url: str) -> None:
    clock = Clock()
    with Ledger.open(url, budgets=[Budget(BILL, per="total")], clock=clock) as ledger:
        small = wanted(attempt="a", worst=BILL)
        ledger.try_reserve(small)
        settle(ledger, "a")
        clock.move(days=40)
        ledger.prune(clock.now)
        with pytest.raises(BudgetExceeded):
            ledger.try_reserve(wanted(attempt="b", worst=BILL))


def test_space_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, path = Clock(), tmp_path / "l.db"
    steps: list[float] = []
    monkeypatch.setattr("deepthrift_pricing._store.sqlite_compact.rest", steps.append)
    with Ledger.open(path, clock=clock) as ledger:
        for number in range(2000):
            ledger.try_reserve(wanted(attempt=f"a{number}", call=f"c{number}"))
            settle(ledger, f"a{number}")
        clock.move(days=1)
        ledger.prune(clock.now, compact=False)
        with sqlite3.connect(path) as before:
            pages = before.execute("PRAGMA page_count").fetchone()[0]
            free = before.execute("PRAGMA freelist_count").fetchone()[0]
        before.close()
        assert ledger.prune(clock.now) == 0
    assert free > 256
    assert len(steps) <= free / 256  # a step moves many pages, not one
    assert path.stat().st_size < pages * 4096 / 5
