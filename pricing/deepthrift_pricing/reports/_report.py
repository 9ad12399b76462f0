"""The spend of a period from every side, as data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._ledger.counts.refusal_counts import RefusalRow
from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._ledger.spend import SpendRow
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import Attempt, utc_now
from deepthrift_pricing._values.budget import BudgetStatus
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing.reports._counterfactual import Counterfactual, always, elsewhere, no_cache

_SHARE = Decimal("0.0001")


class CacheReport(BaseModel):
    """Prompt tokens by whether the provider had them."""

    model_config = ConfigDict(frozen=True)

    hit_tokens: int
    miss_tokens: int
    hit_cost: Money
    miss_cost: Money

    @property
    def hit_share(self) -> Decimal | None:
        """The share of prompt tokens that were hits, from 0 to 1; `None` without any prompt token."""
        return _share(self.hit_tokens, self.hit_tokens + self.miss_tokens)


class EscalationReport(BaseModel):
    """What verification and escalation cost."""

    model_config = ConfigDict(frozen=True)

    answers: int
    """Answers, each with all the calls that made it."""
    escalated: int
    """Answers that were tried in standard mode and went on to thinking."""
    verification: Money
    """Second samples and checks."""
    escalation: Money
    """Thinking calls after a standard one."""
    drafts: Money
    """Standard calls whose answer was replaced."""

    @property
    def rate(self) -> Decimal | None:
        """The share of answers that were escalated."""
        return _share(self.escalated, self.answers)


class Report(BaseModel):
    """The spend of one period in one currency."""

    model_config = ConfigDict(frozen=True)

    since: datetime | None
    until: datetime
    zone: str
    currency: Currency
    total: Money
    """Settled, and held as unknown at the worst case."""
    unknown: Money
    estimated: Money
    requests: Money
    """The part of the total that was billed by request: searches, fetched pages, fees for calls."""
    attempts: int
    by_mode: tuple[SpendRow, ...]
    by_model: tuple[SpendRow, ...]
    by_host: tuple[SpendRow, ...]
    by_day: tuple[SpendRow, ...]
    by_tag: dict[str, tuple[SpendRow, ...]]
    """For each tag's name."""
    cache: CacheReport
    escalations: EscalationReport
    counterfactuals: tuple[Counterfactual, ...]
    budgets: tuple[BudgetStatus, ...]
    refusals: tuple[RefusalRow, ...] = ()
    """Calls that budgets refused in the period."""
    price_ids: tuple[str, ...]
    """Every price row that made a cost."""

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: str = "UTC",
        currency: Currency = "USD",
        prices: PriceBook | None = None,
        compare: Sequence[Price] = (),
    ) -> Self:
        """The report on what started from `since` up to `until`.

        Args:
            ledger: Where to read; nothing is changed.
            since: From this moment on; left out, from the first attempt.
            until: Up to but without this moment; left out, now.
            zone: The time zone whose days are meant.
            currency: Attempts in the other currency are left out: without a rate they cannot be added.
            prices: For the counterfactuals, the prices that the calls were booked at; by default the built-in ones.
            compare: Prices of models elsewhere, for what the same tokens would have cost there.

        Raises:
            ConfigurationError: There is no such zone.
            LedgerUnavailable: The ledger cannot be read.
        """
        end = until or utc_now()
        attempts = [
            attempt
            for attempt in ledger.attempts(since=since)
            if attempt.started_at < end and attempt.status != "reserved" and attempt.cost.currency == currency
        ]
        book = prices or PriceBook.builtin()
        total = Money.sum((attempt.cost.total for attempt in attempts), currency)

        def rows(by: str) -> tuple[SpendRow, ...]:
            found = ledger.spend(since=since, until=end, by=(by,), zone=zone)
            return tuple(row for row in found if row.total.currency == currency)

        names = sorted({name for attempt in attempts for name in attempt.tags})
        return cls(
            since=since,
            until=end,
            zone=zone,
            currency=currency,
            total=total,
            unknown=_cost_of([attempt for attempt in attempts if attempt.status == "unknown"], currency),
            estimated=_cost_of(
                [a for a in attempts if a.status == "settled" and a.cost.certainty != "exact"], currency
            ),
            requests=Money.sum((a.cost.requests for a in attempts if a.cost.certainty != "unknown"), currency),
            attempts=len(attempts),
            by_mode=rows("mode"),
            by_model=rows("model"),
            by_host=rows("host"),
            by_day=rows("day"),
            by_tag={name: rows(f"tag:{name}") for name in names},
            cache=_cache(attempts, currency),
            escalations=_escalations(attempts, currency),
            counterfactuals=(
                always("thinking", attempts, book, total),
                always("standard", attempts, book, total),
                no_cache(attempts, book, total),
                *(elsewhere(attempts, price, total) for price in compare),
            ),
            budgets=tuple(status for status in ledger.budget_status() if status.limit.currency == currency),
            refusals=tuple(row for row in ledger.refusals(since=since, until=end) if row.limit.currency == currency),
            price_ids=tuple(dict.fromkeys(name for attempt in attempts for name in attempt.cost.price_ids)),
        )


def _cache(attempts: Sequence[Attempt], currency: Currency) -> CacheReport:
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
    return CacheReport(
        hit_tokens=sum(usage.cache_hit_tokens for usage in usages),
        miss_tokens=sum(usage.cache_miss_tokens for usage in usages),
        hit_cost=Money.sum((attempt.cost.cache_hit for attempt in attempts), currency),
        miss_cost=Money.sum((attempt.cost.cache_miss for attempt in attempts), currency),
    )


def _escalations(attempts: Sequence[Attempt], currency: Currency) -> EscalationReport:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.purpose != "audit" and attempt.status != "released":
            groups.setdefault(attempt.group_id, []).append(attempt)
    escalated = [group for group in groups.values() if any(attempt.purpose == "escalate" for attempt in group)]
    drafts = [a for group in escalated for a in group if a.purpose == "answer" and a.mode == "standard"]
    return EscalationReport(
        answers=len(groups),
        escalated=len(escalated),
        verification=_cost_of([attempt for attempt in attempts if attempt.purpose in ("sample", "verify")], currency),
        escalation=_cost_of([attempt for attempt in attempts if attempt.purpose == "escalate"], currency),
        drafts=_cost_of(drafts, currency),
    )


def _cost_of(attempts: Sequence[Attempt], currency: Currency) -> Money:
    return Money.sum((attempt.cost.total for attempt in attempts), currency)


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / Decimal(whole)).quantize(_SHARE) if whole else None
