"""What a type checker tells a user of prices, ledgers and budgets."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, assert_type

from deepthrift_pricing import (
    Attempt,
    Budget,
    BudgetStatus,
    Cost,
    Currency,
    Ledger,
    Money,
    Price,
    PriceBook,
    SpendRow,
    Usage,
)
from deepthrift_pricing.tokens import count_messages, count_text, encode


def money() -> None:
    total = Money.of("0.1") + Money.of(Decimal("0.2"))
    assert_type(total, Money)
    assert_type(total.amount, Decimal)
    assert_type(total.currency, Currency)
    assert_type(total < Money.zero(), bool)
    assert_type(3 * total, Money)
    Money.of(0.1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    total + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def prices(book: PriceBook, usage: Usage) -> None:
    assert_type(PriceBook.builtin() + PriceBook.named("brief"), PriceBook)
    assert_type(PriceBook.flat(cache_miss="0.28", cache_hit="0.028", completion="0.42"), PriceBook)


def ledger(ledger: Ledger) -> None:
    assert_type(ledger.attempts(), list[Attempt])
    assert_type(ledger.spend(by=("mode", "tag:team")), list[SpendRow])
    assert_type(ledger.budget_status(), list[BudgetStatus])
    with Ledger.open("memory:", budgets=[Budget("0.50", per="day")]) as opened:
        assert_type(opened, Ledger)
    [attempt] = ledger.attempts(limit=1)
    assert_type(attempt.cost, Cost)
    assert_type(attempt.usage, Usage | None)
    assert_type(attempt.status, Literal["reserved", "settled", "released", "unknown"])


def tokens() -> None:
    assert_type(count_text("Paris"), int)
    assert_type(encode("Paris"), list[int])
    assert_type(count_messages([{"role": "user", "content": "Why?"}], mode="thinking"), int)


def one_price(price: Price, usage: Usage) -> None:
    assert_type(price.cost(usage), Cost)
    assert_type(price.worst(100, 50), Money)
