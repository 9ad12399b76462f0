"""Totals above what a 64-bit column of 10⁻¹² can hold, on every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift_pricing import Budget, Ledger, Money, Usage
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import NOON, Clock, cost, settle, wanted
from tests.support.databases import STORES, store_url

Open = Callable[..., Ledger]
EACH = Money.of("900000.000000000001")
MANY = 12
"""10.8 million in all; a signed 64-bit integer of 10⁻¹² ends at 9.2 million."""


@pytest.fixture(params=STORES)
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens ledgers on one store, with a clock that stands still."""
    with ExitStack() as stack:
        url = stack.enter_context(store_url(request.param, tmp_path))
        yield lambda *budgets: stack.enter_context(Ledger.open(url, budgets=budgets, clock=Clock()))


def book(ledger: Ledger, amount: str = f"{EACH.amount:f}", times: int = MANY) -> None:
    for _ in range(times):
        attempt = ledger.try_reserve(wanted(amount))
        settle(ledger, attempt.id, amount)


def of(ledger: Ledger) -> dict[str, Money]:
    return {str(status.budget.per): status.spent for status in ledger.budget_status()}


def test_spend_of_any_size_is_summed_exactly(open_ledger: Open) -> None:
    ledger = open_ledger()
    book(ledger)
    [row] = ledger.spend(by=())
    assert row.total == EACH * MANY
    assert row.completion == EACH * MANY
    [by_day] = ledger.spend(by=("day",))
    assert by_day.total == EACH * MANY


def test_tokens_of_any_number_are_summed_exactly(open_ledger: Open) -> None:
    ledger = open_ledger()
    usage = Usage.of(2**62, 2**61)
    for _ in range(5):
        ledger.settle(ledger.try_reserve(wanted()).id, usage=usage, cost=cost(), ended_at=NOON)
    [row] = ledger.spend(by=())
    assert (row.prompt_tokens, row.completion_tokens) == (5 * 2**62, 5 * 2**61)


def test_budgets_count_any_size_exactly_and_go_on_refusing(open_ledger: Open) -> None:
    scopes = [
        Budget("1000000", per="total", policy="warn"),
        Budget("1000000", per="month", policy="warn"),
        Budget("1000000", per=timedelta(days=30), policy="warn"),
    ]
    ledger = open_ledger(*scopes)
    book(ledger)
    assert set(of(ledger).values()) == {EACH * MANY}
    book(ledger, "0.000000000001", 3)
    assert set(of(ledger).values()) == {EACH * MANY + Money(3)}
    strict = open_ledger(Budget("8999999", per="total", policy="refuse"))
    if strict.url == "memory:":
        return  # each ledger in memory is its own
    with pytest.raises(BudgetExceeded):
        strict.try_reserve(wanted("0.01"))
    assert set(of(strict).values()) == {EACH * MANY + Money(3)}


def test_a_scope_that_is_new_counts_what_was_spent_before(open_ledger: Open) -> None:
    ledger = open_ledger()
    if ledger.url == "memory:":
        pytest.skip("a ledger in memory has no second opening")
    book(ledger)
    later = open_ledger(Budget("5", per="total"), Budget("5", per="day"))
    assert set(of(later).values()) == {EACH * MANY}
    with pytest.raises(BudgetExceeded):
        later.try_reserve(wanted("0.01"))


def test_a_program_that_was_open_before_sees_the_carries_of_another(open_ledger: Open) -> None:
    budget = Budget("1000000", per="total", policy="warn")
    reader = open_ledger(budget)
    if reader.url == "memory:":
        pytest.skip("a ledger in memory has one program")
    book(open_ledger(budget))
    assert of(reader) == {"total": EACH * MANY}
    held = reader.try_reserve(wanted("4000000"))
    assert [status.reserved for status in reader.budget_status()] == [Money.of("4000000")]
    settle(reader, held.id, "0.5")
    [status] = reader.budget_status()
    assert (status.reserved, status.spent) == (Money.of("0"), EACH * MANY + Money.of("0.5"))
    reader.prune(NOON + timedelta(days=1))
    assert of(reader) == {"total": EACH * MANY + Money.of("0.5")}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9 * 10**18 - 1), min_size=1, max_size=12))
def test_counts_are_the_sum_of_what_was_booked(amounts: list[int]) -> None:
    with Ledger.open(budgets=[Budget("1", per="total", policy="warn")]) as ledger:
        for pico in amounts:
            amount = f"{Money(pico).amount:f}"
            attempt = ledger.try_reserve(wanted(amount))
            settle(ledger, attempt.id, amount)
        assert of(ledger)["total"] == Money(sum(amounts))
        assert ledger.spend(by=())[0].total == Money(sum(amounts))
