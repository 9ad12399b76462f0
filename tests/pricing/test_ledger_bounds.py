"""What needs no room in a ledger, and what no ledger can hold. On every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from deepthrift_pricing import Attempt, Budget, Ledger, Money, Usage
from deepthrift_pricing.errors import BudgetExceeded, ConfigurationError, LedgerError
from tests.pricing.ledgers import BILL, NOON, REFERENCE, WORST, cost, spent, wanted
from tests.support.databases import STORES, store_url

Open = Callable[..., Ledger]


@pytest.fixture(params=STORES)
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens ledgers on one store; all of them are closed in the end."""
    with ExitStack() as stack:
        url = stack.enter_context(store_url(request.param, tmp_path))
        yield lambda *budgets: stack.enter_context(Ledger.open(url, budgets=budgets))


def test_what_was_answered_unsent_needs_no_room_and_is_booked_at_nothing(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.000001", per="day", policy="refuse"), Budget("0.001", per="total", each="team"))
    told: list[Attempt] = []
    ledger.subscribe(told.append)
    asked = wanted(attempt="a", call="c", group="g", tags={"team": "search"}, mode="thinking")
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(asked)
    booked = ledger.book_unsent(asked, ended_at=NOON + timedelta(seconds=2), finish_reason="stop")
    assert booked == ledger.attempt("a")
    assert (booked.status, booked.started_at, booked.seconds) == ("released", NOON, 2.0)
    assert (booked.reserved, booked.cost.total, booked.cost.certainty) == (Money.of(WORST), Money.of("0"), "exact")
    assert (booked.finish_reason, booked.usage, booked.tags) == ("stop", None, {"team": "search"})
    assert ledger.book_unsent(asked, ended_at=NOON, finish_reason="length") == booked
    assert ledger.release("a", ended_at=NOON) == booked
    assert told == [booked]
    assert not any(status.spent or status.reserved for status in ledger.budget_status())
    assert spent(ledger) == Money.of("0")
    assert not ledger.sweep()
    with pytest.raises(LedgerError, match="booked already"):
        ledger.try_reserve(asked)


def test_numbers_that_no_column_holds_are_refused_and_the_reservation_stands(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("1", per="total"))
    for wrong in (
        {"max_tokens": 10**25},
        {"prompt_tokens": 2**63},
        {"max_tokens": -1},
        {"worst": Money(10**19, "USD")},
    ):
        with pytest.raises(ConfigurationError, match="cannot be reserved"):
            ledger.try_reserve(wanted().model_copy(update=wrong))
    assert not list(ledger.attempts())
    ledger.try_reserve(wanted(attempt="a"))
    with pytest.raises(ConfigurationError, match=r"1e\+25 tokens cannot be booked"):
        ledger.settle("a", usage=Usage.of(10**25, 1), cost=cost(), ended_at=NOON)
    with pytest.raises(ConfigurationError, match="cannot be booked"):
        ledger.settle("a", usage=REFERENCE, cost=cost("9000000"), ended_at=NOON)
    assert spent(ledger) == Money.of("0")
    [status] = ledger.budget_status()
    assert status.reserved == Money.of(WORST)
    ledger.settle("a", usage=Usage.of(2**62, 1), cost=cost(), ended_at=NOON)
    assert ledger.attempt("a") is not None
    assert spent(ledger) == Money.of(BILL)
