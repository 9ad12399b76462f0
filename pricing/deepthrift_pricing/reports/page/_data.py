"""What the page shows, read from the ledger once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.budget import BudgetStatus
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.zone import zone_of
from deepthrift_pricing.alerts import exhaustion
from deepthrift_pricing.reports._report import Report

Step: TypeAlias = Literal["hour", "day", "month"]

_FORMATS: Final[dict[Step, str]] = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}
_MOST_STEPS: Final = 400
_MOST_BUDGETS: Final = 8
_COSTLIEST: Final = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of time."""

    label: str
    standard: Money
    thinking: Money
    hit_tokens: int
    miss_tokens: int


@dataclass(frozen=True, slots=True)
class Burn:
    """How one budget's window went so far: what had been spent at which moment, and when it will be used up."""

    status: BudgetStatus
    points: tuple[tuple[datetime, Money], ...]
    ends: datetime | None
    """At the present pace; `None` when it lasts its window, or nothing can be said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with all the calls that made it; its prompt is not in the ledger."""

    group_id: str
    at: datetime
    model: str
    modes: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    attempts: int
    tokens: int
    cost: Money


@dataclass(frozen=True, slots=True)
class PageData:
    """Everything on the page."""

    report: Report
    step: Step
    bars: tuple[Bar, ...]
    burns: tuple[Burn, ...]
    costliest: tuple[Answer, ...]
    prices: tuple[Price, ...]
    unknown_prices: tuple[str, ...]
    """Ids of price rows that made a cost and are in no price book at hand."""


def gather(
    ledger: Ledger,
    *,
    since: datetime | None,
    until: datetime | None,
    zone: str,
    currency: Currency,
    prices: PriceBook | None,
    compare: Sequence[Price],
) -> PageData:
    """Read the ledger for the page.

    Raises:
        ConfigurationError: There is no such zone.
        LedgerUnavailable: The ledger cannot be read.
    """
    report = Report.of(ledger, since=since, until=until, zone=zone, currency=currency, prices=prices, compare=compare)
    attempts = [
        attempt
        for attempt in ledger.attempts(since=since)
        if attempt.started_at < report.until and attempt.status != "reserved" and attempt.cost.currency == currency
    ]
    first = attempts[0].started_at if attempts else report.until
    span = report.until - (since or first)
    step: Step = "hour" if span <= timedelta(days=2) else "day" if span <= timedelta(days=120) else "month"
    book = prices or PriceBook.builtin()
    rows = {row.id: row for row in book.rows}
    return PageData(
        report=report,
        step=step,
        bars=_bars(ledger, report, step, since or first),
        burns=_burns(ledger, report),
        costliest=_costliest(attempts, currency),
        prices=tuple(rows[name] for name in report.price_ids if name in rows),
        unknown_prices=tuple(name for name in report.price_ids if name not in rows),
    )


def _bars(ledger: Ledger, report: Report, step: Step, first: datetime) -> tuple[Bar, ...]:
    nothing = Money.zero(report.currency)
    found: dict[str, Bar] = {}
    for row in ledger.spend(since=report.since, until=report.until, by=(step, "mode"), zone=report.zone):
        if row.total.currency != report.currency:
            continue
        label = row.key[step]
        bar = found.get(label, Bar(label, nothing, nothing, 0, 0))
        thinking = row.key["mode"] == "thinking"
        found[label] = Bar(
            label,
            bar.standard if thinking else bar.standard + row.total,
            bar.thinking + row.total if thinking else bar.thinking,
            bar.hit_tokens + row.cache_hit_tokens,
            bar.miss_tokens + row.prompt_tokens - row.cache_hit_tokens,
        )
    return tuple(found.get(label, Bar(label, nothing, nothing, 0, 0)) for label in _labels(report, step, first, found))


def _labels(report: Report, step: Step, first: datetime, found: dict[str, Bar]) -> list[str]:
    """Every step from the first to the last, those without spend too."""
    if not found:
        return []
    local = zone_of(report.zone)
    labels: dict[str, None] = {}
    moment = first
    stride = timedelta(days=1) if step == "month" else timedelta(**{f"{step}s": 1})
    while moment < report.until and len(labels) < _MOST_STEPS:
        labels[moment.astimezone(local).strftime(_FORMATS[step])] = None
        moment += stride
    return sorted({*labels, *found})


def _burns(ledger: Ledger, report: Report) -> tuple[Burn, ...]:
    made: list[Burn] = []
    for status in report.budgets:
        if status.budget.per in ("call", "answer") or not status.limit or len(made) == _MOST_BUDGETS:
            continue
        spent = Money.zero(report.currency)
        points: list[tuple[datetime, Money]] = []
        for attempt in ledger.attempts(since=status.window_start):
            if attempt.started_at >= report.until or not _counts(status, attempt):
                continue
            spent += attempt.cost.total
            points.append((attempt.started_at, spent))
        ends = exhaustion(status, report.until)
        lasts = status.window_end is not None and ends is not None and ends >= status.window_end
        made.append(Burn(status, tuple(points), None if lasts or status.budget.rolls else ends))
    return tuple(made)


def _counts(status: BudgetStatus, attempt: Attempt) -> bool:
    budget = status.budget
    return (
        attempt.status in ("settled", "unknown")
        and attempt.cost.currency == budget.currency
        and budget.covers(attempt.host, attempt.model, attempt.mode, attempt.tags)
        and (not status.part or budget.part(attempt.call_id, attempt.group_id, attempt.tags) == status.part)
    )


def _costliest(attempts: Sequence[Attempt], currency: Currency) -> tuple[Answer, ...]:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.group_id, []).append(attempt)
    answers = [
        Answer(
            group_id=group_id,
            at=group[0].started_at,
            model=group[0].model,
            modes=tuple(dict.fromkeys(attempt.mode for attempt in group)),
            tags=tuple(sorted(group[0].tags.items())),
            attempts=len(group),
            tokens=sum(a.usage.prompt_tokens + a.usage.completion_tokens for a in group if a.usage is not None),
            cost=Money.sum((attempt.cost.total for attempt in group), currency),
        )
        for group_id, group in groups.items()
    ]
    answers.sort(key=lambda answer: answer.cost.pico, reverse=True)
    return tuple(answer for answer in answers[:_COSTLIEST] if answer.cost)
