"""Requests, costs and clocks for the ledger's tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

from deepthrift_pricing import AttemptRequest, Cost, Currency, Ledger, Mode, Money, Purpose, Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
REFERENCE = Usage.of(2000, 500, cache_hit=1536, reasoning=300)
WORST = "0.00196"
BILL = "0.00120736"
_NUMBERS = count(1)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def wanted(
    worst: str = WORST,
    *,
    call: str | None = None,
    group: str | None = None,
    attempt: str | None = None,
    tags: Mapping[str, str] | None = None,
    mode: Mode = "standard",
    host: str = "vllm",
    model: str = "deepseek-ai/DeepSeek-V3.1",
    currency: Currency = "USD",
    purpose: Purpose = "answer",
) -> AttemptRequest:
    """A request to reserve `worst`."""
    number = next(_NUMBERS)
    call = call or f"call-{number}"
    return AttemptRequest(
        attempt_id=attempt or f"att-{number}",
        call_id=call,
        group_id=group or call,
        purpose=purpose,
        host=host,
        model=model,
        mode=mode,
        prompt_tokens=2000,
        max_tokens=500,
        worst=Money.of(worst, currency),
        price_ids=("row",),
        tags=tags or {},
        started_at=NOON,
    )


def cost(amount: str = BILL, currency: Currency = "USD") -> Cost:
    """A cost of `amount`, all of it for completion."""
    total, nothing = Money.of(amount, currency), Money(0, currency)
    return Cost(
        total=total, cache_hit=nothing, cache_miss=nothing, completion=total, reasoning=nothing, price_ids=("row",)
    )


def settle(ledger: Ledger, attempt_id: str, amount: str = BILL, usage: Usage | None = REFERENCE) -> None:
    """Settles an attempt for `amount`."""
    ledger.settle(attempt_id, usage=usage, cost=cost(amount), ended_at=NOON, finish_reason="stop", http_status=200)


def spent(ledger: Ledger) -> Money:
    """Everything booked, settled or unknown."""
    return Money.sum(row.total for row in ledger.spend(by=()))
