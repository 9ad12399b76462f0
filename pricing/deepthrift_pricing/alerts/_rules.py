"""When to alert: each rule looks at the ledger and says what is worth telling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.budget import Budget, BudgetStatus
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.zone import zone_of
from deepthrift_pricing.alerts._alert import Alert, Severity


class Rule(Protocol):
    """Anything with this method can be a rule."""

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """What is to be told at `now`. The same thing keeps the same key for as long as it should not be told again."""
        ...


@dataclass(frozen=True, slots=True)
class Threshold:
    """A share of a budget is spent. Fires once in each window of each budget.

    At a share of 1, it also fires when the budget begins to refuse calls: the last call that fits costs less than its
    worst case, so most budgets refuse before all of the limit is spent. The two count as one alert.

    `share` is above 0; 1 is the whole limit. `budget` names one budget; left out, all are watched.
    """

    share: Decimal
    budget: str | None = None

    def __init__(self, share: Decimal | str | int, *, budget: str | None = None) -> None:
        value = Decimal(share)
        if not value > 0:
            raise ConfigurationError(f"a threshold is a share above 0 of the limit, such as '0.8', not {share!r}")
        object.__setattr__(self, "share", value)
        object.__setattr__(self, "budget", budget)

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """An alert for each budget that has reached the share in its present window."""
        for status in _watched(ledger, self.budget):
            if not status.limit or status.spent.pico < self.share * status.limit.pico:
                if self.share == 1 and status.refused:
                    yield _refusing(status, now)
                continue
            percent = f"{(self.share * 100).normalize():f} %"
            unsure = f", {status.unknown} of it unknown and held at its worst case" if status.unknown else ""
            ends = "" if status.window_end is None else f" The window ends at {_clock(status.window_end, status)}."
            yield Alert(
                key=_threshold_key(self.share, status),
                kind="threshold",
                severity=_severity(self.share),
                title=f"{percent} of the budget {status.name} is spent",
                text=f"{status.spent} of {status.limit} are spent{unsure}; {status.left} are left.{ends}",
                at=now,
                budget=status.name,
                status=status,
            )
        if self.share == 1:
            yield from _refused_alone(ledger, self.budget, now)


@dataclass(frozen=True, slots=True)
class Forecast:
    """At the present pace a budget will not last its window. Fires once in each window.

    The pace is that of the window so far. Before `after` of the window has passed, or before as much of the limit is
    spent, nothing is forecast.
    """

    budget: str | None = None
    after: Decimal = Decimal("0.05")

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """An alert for each budget whose end is in sight."""
        for status in _watched(ledger, self.budget):
            ends = exhaustion(status, now)
            if ends is None or status.window_start is None or status.window_end is None or ends >= status.window_end:
                continue
            length = (status.window_end - status.window_start).total_seconds()
            passed = Decimal((now - status.window_start).total_seconds()) / Decimal(length)
            if passed < self.after or status.spent.pico < self.after * status.limit.pico or not status.left:
                continue
            yield Alert(
                key=f"forecast:{window_key(status)}",
                kind="forecast",
                severity="warning",
                title=f"At this pace the budget {status.name} ends at {_clock(ends, status)}",
                text=(
                    f"{status.spent} of {status.limit} are spent after {passed:.0%} of the window, which ends at "
                    f"{_clock(status.window_end, status)}."
                ),
                at=now,
                budget=status.name,
                status=status,
            )


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A sudden rise in the share of thinking calls, or a sudden fall in cache hits. Fires once a day for each.

    The latest `recent` settled attempts are compared with the `baseline` ones before them, by a test of two
    proportions. `significance` is the number of standard errors that counts as sudden; with 4, chance alone gets there
    in about one of 30,000 comparisons.
    """

    recent: int = 50
    baseline: int = 500
    significance: float = 4.0
    least_change: float = 0.1
    """A change of fewer than so many percentage points (0.1 is ten) is not told, however certain."""
    zone: str = "UTC"

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """At most one alert of each kind."""
        rows = [attempt for attempt in ledger.attempts(limit=self.recent + self.baseline) if attempt.usage is not None]
        before, lately = rows[: -self.recent], rows[-self.recent :]
        if len(before) < self.recent or len(lately) < self.recent:
            return
        day = now.astimezone(zone_of(self.zone)).date().isoformat()
        was, is_now = _share_thinking(before), _share_thinking(lately)
        if is_now > was and self._sudden(was, len(before), is_now, len(lately)):
            yield Alert(
                key=f"thinking_share:{day}",
                kind="thinking_share",
                severity="warning",
                title=f"Thinking calls rose from {was:.0%} to {is_now:.0%}",
                text=(
                    f"Of the latest {len(lately)} attempts {is_now:.0%} ran in thinking mode, against {was:.0%} of the "
                    f"{len(before)} before. Look for a change in routing, or in what is asked."
                ),
                at=now,
            )
        was, is_now = _share_hits(before), _share_hits(lately)
        # Attempts, not tokens, are what varies independently: one prompt's tokens hit or miss together.
        if was > is_now and self._sudden(was, len(before), is_now, len(lately)):
            yield Alert(
                key=f"cache_hits:{day}",
                kind="cache_hits",
                severity="warning",
                title=f"Cache hits fell from {was:.0%} to {is_now:.0%} of the prompt tokens",
                text=(
                    "Something near the start of the prompts changes from call to call: a time, a name, the order of "
                    "tools. Put what stays the same first."
                ),
                at=now,
            )

    def _sudden(self, first: float, first_count: int, second: float, second_count: int) -> bool:
        """Whether two shares differ by enough, and by more than chance brings about."""
        if abs(second - first) < self.least_change:
            return False
        return _errors_apart(first, first_count, second, second_count) >= self.significance


@dataclass(frozen=True, slots=True)
class NoBalance:
    """A provider answered 402: its balance is used up. Fires once a day for each host."""

    zone: str = "UTC"

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """An alert for each host that refused today."""
        today = now.astimezone(zone_of(self.zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        refused = {attempt.host for attempt in ledger.attempts(since=today) if attempt.http_status == 402}
        for host in sorted(refused):
            yield Alert(
                key=f"no_balance:{host}:{today.date().isoformat()}",
                kind="no_balance",
                severity="critical",
                title=f"{host}: the balance is used up",
                text=f"{host} answered 402 Insufficient Balance. Calls fail until the account is topped up.",
                at=now,
            )


def low_balance(host: str, balance: Money, least: Money, now: datetime) -> Alert | None:
    """The alert for a provider's balance that is below `least`; once a day for each host."""
    if balance >= least:
        return None
    return Alert(
        key=f"low_balance:{host}:{now.date().isoformat()}",
        kind="low_balance",
        severity="warning",
        title=f"{host}: {balance} left",
        text=f"The balance at {host} is {balance}, less than {least}. Top it up before calls fail.",
        at=now,
    )


def exhaustion(status: BudgetStatus, now: datetime) -> datetime | None:
    """When a budget will be used up if spending goes on as it has in this window; `None` if it never will be."""
    if status.window_start is None or not status.spent or now <= status.window_start:
        return None
    seconds = (now - status.window_start).total_seconds()
    # Whole seconds are finer than any forecast of this kind.
    remaining = max(0, status.limit.pico - status.spent.pico) * seconds / status.spent.pico
    try:
        return now + timedelta(seconds=remaining)
    except OverflowError:
        return None


def _threshold_key(share: Decimal, status: BudgetStatus) -> str:
    return f"threshold:{share.normalize():f}:{window_key(status)}"


def _refusing(status: BudgetStatus, now: datetime) -> Alert:
    """The alert of a budget that refuses calls in its window."""
    ends = "" if status.window_end is None else f" The window ends at {_clock(status.window_end, status)}."
    left = (
        f"{status.spent} of {status.limit} are spent and {status.reserved} reserved, so {status.left} are left.{ends}"
    )
    return _refusal(_threshold_key(Decimal(1), status), status.budget, status.refused, left, now, status)


def _refused_alone(ledger: Ledger, name: str | None, now: datetime) -> Iterable[Alert]:
    """The alerts of budgets that hold each call or answer by itself, and have no window: each day anew."""
    apart = [each for each in ledger.budgets if each.per in ("call", "answer") and name in (None, each.label)]
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = ledger.refusals(since=day) if apart else []
    for budget in apart:
        count = sum(row.refused for row in rows if (row.budget, row.limit) == (budget.label, budget.limit))
        if count:
            key = f"threshold:1:{budget.scope}:{budget.limit}::{day.date().isoformat()}"
            yield _refusal(key, budget, count, f"The limit of each {budget.per} is {budget.limit}.", now)


def _refusal(
    key: str, budget: Budget, count: int, left: str, now: datetime, status: BudgetStatus | None = None
) -> Alert:
    calls = "a call" if count == 1 else f"{count} calls"
    return Alert(
        key=key,
        kind="threshold",
        severity="critical",
        title=f"The budget {budget.label} refuses calls",
        text=f"It refused {calls} whose worst case did not fit: {left} Raise the budget, or lower max_tokens.",
        at=now,
        budget=budget.label,
        status=status,
    )


def window_key(status: BudgetStatus) -> str:
    """Names one window of one budget."""
    start = "" if status.window_start is None or status.budget.rolls else status.window_start.isoformat()
    return f"{status.budget.scope}:{status.limit}:{status.part}:{start}"


def _watched(ledger: Ledger, name: str | None) -> Sequence[BudgetStatus]:
    return [status for status in ledger.budget_status() if name is None or status.name == name]


def _severity(share: Decimal) -> Severity:
    return "critical" if share >= 1 else "warning" if share >= Decimal("0.75") else "info"


def _clock(moment: datetime, status: BudgetStatus) -> str:
    local = moment.astimezone(zone_of(status.budget.zone))
    today = datetime.now(local.tzinfo).date() == local.date()
    return f"{local:%H:%M}" if today else f"{local:%Y-%m-%d %H:%M}"


def _share_thinking(attempts: Sequence[Attempt]) -> float:
    return sum(attempt.mode == "thinking" for attempt in attempts) / len(attempts)


def _share_hits(attempts: Sequence[Attempt]) -> float:
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
    prompts = sum(usage.prompt_tokens for usage in usages)
    return sum(usage.cache_hit_tokens for usage in usages) / prompts if prompts else 0.0


def _errors_apart(first: float, first_count: int, second: float, second_count: int) -> float:
    """How many standard errors two shares lie apart."""
    pooled = (first * first_count + second * second_count) / (first_count + second_count)
    error = math.sqrt(pooled * (1 - pooled) * (1 / first_count + 1 / second_count))
    return abs(first - second) / error if error else 0.0
