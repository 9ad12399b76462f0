"""Budgets: how much may be spent, on what, in which time, and what happens when room is short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final, Literal, Self, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator

from deepthrift_pricing._values.money import ConfigurationError, Currency, Money
from deepthrift_pricing._values.usage import Mode
from deepthrift_pricing._values.window import USUAL_ANCHOR, Span, calendar_span, fixed_span, micros
from deepthrift_pricing._values.zone import zone_of

Per: TypeAlias = Literal["call", "answer", "hour", "day", "week", "month", "total"] | timedelta
"""`call`: each call with its retries and passes. `answer`: each routed answer. A `timedelta` rolls, unless anchored."""

Policy: TypeAlias = Literal["wait", "refuse", "clamp", "downgrade", "warn"]
"""When room is short: wait for it, refuse, send with fewer `max_tokens`, send in standard mode, or only warn."""

MOST_PICO: Final = 9 * 10**18
"""9,000,000 in units of a currency: what a count in a 64-bit integer can hold."""
_GRAINS: Final = 1000
"""A rolling window forgets in steps of a thousandth of its length, always late, never early."""


class Budget(BaseModel):
    """A limit on spend in a scope and a window of time.

    >>> Budget("0.50", per="day")
    Budget('0.5 USD', per='day')
    >>> Budget("5", per="month", tags={"team": "search"}, zone="Asia/Shanghai", policy="refuse").limit
    Money('5', 'USD')
    """

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    limit: Money
    """The most that may be spent in one window, worst cases of calls under way included."""
    per: Per
    tags: Mapping[str, str] = {}
    """Only attempts that carry all of these tags."""
    host: str | None = None
    """Only attempts at this host."""
    model: str | None = None
    """Only attempts of this model."""
    mode: Mode | None = None
    """Only attempts in this mode."""
    each: tuple[str, ...] = ()
    """Count apart for each value of these tags: `each=("user",)` gives every user the limit."""
    zone: str = "UTC"
    """The time zone in which days, weeks and months begin."""
    anchor: datetime | None = None
    """A wall-clock time in `zone` at which some window opens, and so the minute, hour, weekday or day of all others."""
    policy: Policy = "wait"
    name: str = ""

    def __init__(
        self,
        limit: Money | Decimal | str | int | Mapping[str, str],
        per: Per,
        *,
        tags: Mapping[str, str] | None = None,
        host: str | None = None,
        model: str | None = None,
        mode: Mode | None = None,
        each: tuple[str, ...] | str = (),
        zone: str = "UTC",
        anchor: datetime | None = None,
        policy: Policy = "wait",
        currency: Currency | None = None,
        name: str | None = None,
    ) -> None:
        """A budget of `limit` in units of `currency` (`USD` if not said) in each window.

        As JSON tells it, the limit is a mapping of `amount` and `currency`.

        Raises:
            ConfigurationError: A setting is wrong; the message says which.
        """
        if isinstance(limit, Money) and currency not in (None, limit.currency):
            raise ConfigurationError(f"budget: the limit is in {limit.currency}, and currency says {currency}")
        try:
            if isinstance(limit, Mapping):
                amount = TypeAdapter(Money).validate_python(limit)
            else:
                amount = limit if isinstance(limit, Money) else Money.of(limit, currency or "USD")
            super().__init__(
                limit=amount,
                per=per,
                tags=dict(tags or {}),
                host=host,
                model=None if model is None else model.lower(),
                mode=mode,
                each=(each,) if isinstance(each, str) else each,
                zone=zone,
                anchor=anchor,
                policy=policy,
                name=name or "",
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][:1])
            raise ConfigurationError(f"budget: {where + ': ' if where else ''}{first['msg']}") from error

    @field_validator("limit")
    @classmethod
    def _not_negative(cls, value: Money) -> Money:
        if not 0 <= value.pico < MOST_PICO:
            raise ValueError(f"{value} is not a possible limit; give an amount from 0 to 9,000,000")
        return value

    @field_validator("per")
    @classmethod
    def _long_enough(cls, value: Per) -> Per:
        if isinstance(value, timedelta) and value < timedelta(milliseconds=1):
            raise ValueError("a window of time must last at least a millisecond")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        zone_of(value)
        return value

    @field_validator("anchor")
    @classmethod
    def _wall_clock(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is not None:
            raise ValueError("give the anchor as a wall-clock time without a zone; `zone` says whose clock")
        return value

    @model_validator(mode="after")
    def _anchored(self) -> Self:
        if self.anchor is not None and self.per in ("call", "answer", "total"):
            raise ValueError(f"an anchor means nothing for a budget per {self.per}")
        return self

    @property
    def currency(self) -> Currency:
        """`USD` or `CNY`; attempts in the other currency are refused, for lack of a rate."""
        return self.limit.currency

    @property
    def label(self) -> str:
        """The name, or what tells it from others."""
        return self.name or f"{self.limit} {self._scope_text()}"

    @cached_property
    def scope(self) -> str:
        """What is counted, as canonical JSON without limit, policy and name: budgets of one scope share one count."""
        per = self.per.total_seconds() if isinstance(self.per, timedelta) else self.per
        told = {
            "per": per,
            "currency": self.currency,
            "tags": dict(sorted(self.tags.items())),
            "host": self.host,
            "model": self.model,
            "mode": self.mode,
            "each": sorted(self.each),
            "zone": self.zone if self._follows_clocks else "UTC",
            "anchor": None if self.anchor is None else self.anchor.isoformat(),
        }
        return json.dumps({key: value for key, value in told.items() if value}, sort_keys=True, ensure_ascii=False)

    @classmethod
    def of_scope(cls, scope: str) -> Budget:
        """A budget of nothing that counts what `scope` says, as the ledger keeps it."""
        told = json.loads(scope)
        per = cast("Per", told["per"] if isinstance(told["per"], str) else timedelta(seconds=told["per"]))
        anchor = told.get("anchor")
        return cls(
            Money(0, told["currency"]),
            per,
            tags=told.get("tags"),
            host=told.get("host"),
            model=told.get("model"),
            mode=told.get("mode"),
            each=tuple(told.get("each", ())),
            zone=told.get("zone", "UTC"),
            anchor=None if anchor is None else datetime.fromisoformat(anchor),
        )

    def covers(self, host: str, model: str, mode: str, tags: Mapping[str, str]) -> bool:
        """Whether an attempt counts in this budget."""
        return (
            (self.mode is None or self.mode == mode)
            and (self.host is None or self.host == host)
            and (self.model is None or self.model == model.lower())
            and all(tags.get(name) == value for name, value in self.tags.items())
            and all(name in tags for name in self.each)
        )

    def part(self, call_id: str, group_id: str, tags: Mapping[str, str]) -> str:
        """Which of the counts that this budget keeps apart an attempt belongs to; empty where there is but one."""
        if self.per == "call":
            return call_id
        if self.per == "answer":
            return group_id
        if not self.each:
            return ""
        return json.dumps({name: tags[name] for name in self.each}, sort_keys=True, ensure_ascii=False)

    @property
    def rolls(self) -> bool:
        """Whether the window moves with the clock."""
        return isinstance(self.per, timedelta) and self.anchor is None

    def span(self, at: int) -> Span:
        """The window around `at`, in microseconds since 1970. Of a rolling window, the grain that `at` falls into."""
        per = self.per
        if per == "call" or per == "answer" or per == "total":
            return Span(0, None)
        if isinstance(per, timedelta):
            length = per // timedelta(microseconds=1)
            if self.anchor is None:
                return fixed_span(max(1, length // _GRAINS), at, 0)
            opens = self.anchor.replace(tzinfo=zone_of(self.zone)).astimezone(UTC)
            return fixed_span(length, at, micros(opens))
        return calendar_span(per, at, zone_of(self.zone), self.anchor or USUAL_ANCHOR)

    def counted_from(self, at: int) -> int:
        """The start of the oldest span that still counts at `at`."""
        if self.rolls and isinstance(self.per, timedelta):
            return self.span(at - self.per // timedelta(microseconds=1)).start
        return self.span(at).start

    @property
    def _follows_clocks(self) -> bool:
        return self.per in ("hour", "day", "week", "month") or self.anchor is not None

    def _scope_text(self) -> str:
        parts = [f"per {self.per}"]
        parts += [f"{name}={value}" for name, value in (("host", self.host), ("model", self.model)) if value]
        parts += [f"{name}={value}" for name, value in sorted(self.tags.items())]
        parts += [f"{self.mode} mode"] if self.mode else []
        parts += [f"each {name}" for name in self.each]
        return ", ".join(parts)

    def __repr__(self) -> str:
        told = [repr(str(self.limit)), f"per={self.per!r}"]
        told += [
            f"{key}={getattr(self, key)!r}" for key in ("tags", "host", "model", "mode", "each") if getattr(self, key)
        ]
        told += [f"zone={self.zone!r}"] if self.zone != "UTC" else []
        told += [f"policy={self.policy!r}"] if self.policy != "wait" else []
        told += [f"name={self.name!r}"] if self.name else []
        return f"Budget({', '.join(told)})"

    __str__ = __repr__


class BudgetStatus(BaseModel):
    """What one budget has left in the window of this moment."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    budget: Budget
    part: str = ""
    """Of a budget per call, answer or tag value: which one."""
    spent: Money
    """Settled, and held as unknown."""
    reserved: Money
    """Worst cases of attempts under way."""
    unknown: Money
    """The part of `spent` that is held at its worst case because nobody knows better."""
    refused: int = 0
    """Calls that it refused in the window, as `Ledger.budget_status` counts them; 0 for a budget per call or answer,
    whose refusals `Ledger.refusals` has."""
    window_start: datetime | None
    """`None`: from the first attempt on."""
    window_end: datetime | None
    """`None`: never. Of a rolling window: now, for something is forgotten at every moment."""

    @property
    def limit(self) -> Money:
        """The budget's limit."""
        return self.budget.limit

    @property
    def left(self) -> Money:
        """What a further attempt may cost at most."""
        return Money(max(0, self.limit.pico - self.spent.pico - self.reserved.pico), self.limit.currency)

    @property
    def over(self) -> Money:
        """By how much attempts that cost more than they had reserved carried the spend above the limit."""
        return Money(max(0, self.spent.pico - self.limit.pico), self.limit.currency)

    @property
    def name(self) -> str:
        """The budget's name, or what tells it from others."""
        return self.budget.label


def admits(limit: int, spent: int, reserved: int, worst: int) -> bool:
    """The one predicate of admission: whether `worst` fits beside what is spent and reserved. Amounts in 10⁻¹².

    What costs nothing always fits, also when a bill above its reservation has carried the spend above the limit.
    """
    return worst == 0 or spent + reserved + worst <= limit
