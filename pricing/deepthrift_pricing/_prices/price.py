"""One price: a fact with a source, a time in which it holds, and exact integers per token."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from deepthrift_pricing._values.build import build
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Mode, Usage
from deepthrift_pricing._values.zone import zone_of

DecidedBy: TypeAlias = Literal["start", "end", "unknown"]
"""Which moment of a request decides its price. `unknown`: nobody published it, so the dearer of the two is taken."""

STALE_AFTER: Final = timedelta(days=180)
"""A price that still holds should be compared with its source at least this often."""
_HIGHEST = Decimal(1000)
_LOWEST = Decimal("0.0001")


def _per_million(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("a price is a finite number")
    if value < 0 or (0 < value < _LOWEST) or value > _HIGHEST:
        raise ValueError(
            f"{value} cannot be a price per million tokens (0, or {_LOWEST} to {_HIGHEST}); "
            "is it per token or per thousand?"
        )
    if value != value.quantize(Decimal("0.000001")):
        raise ValueError(f"{value} has more than six decimals, the finest price that is exact per token")
    return value


PerMillion: TypeAlias = Annotated[Decimal, AfterValidator(_per_million)]
"""A price in whole units of a currency per 1,000,000 tokens."""


class Price(BaseModel):
    """One row of a price list: what 1,000,000 tokens cost, for whom, and when."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", validate_default=True)

    id: str = Field(min_length=1)
    """Names the row for good; every booked attempt keeps the ids of its prices."""
    host: str = "*"
    """The host profile that bills it; `*` is any."""
    models: tuple[str, ...] = ("*",)
    """Model names, compared without regard to case; `*` is any."""
    mode: Mode | None = None
    """The mode it holds for; `None` is both."""
    currency: Currency = "USD"
    cache_hit: PerMillion | None = None
    """Prompt tokens read from the provider's cache; `None`: the host lists no such price and bills the miss price."""
    cache_miss: PerMillion
    """Prompt tokens that are processed."""
    completion: PerMillion
    """Generated tokens, reasoning included."""
    valid_from: datetime | None = None
    """The first moment it holds."""
    valid_to: datetime | None = None
    """The first moment it no longer holds."""
    daily: tuple[time, time] | None = None
    """From and to, in `zone`, every day; half-open, and may wrap midnight. `None` is the whole day."""
    weekdays: frozenset[int] | None = None
    """ISO weekdays, 1 is Monday, on which the daily window opens; `None` is every day."""
    except_dates: frozenset[date] = frozenset()
    """Dates in `zone` on which the daily window does not open: public holidays."""
    zone: str = "UTC"
    decided_by: DecidedBy = "start"
    tier: str = "standard"
    """The service tier: `standard`, `batch`, `flex`, `priority`."""
    source: str = ""
    """Where the price was read."""
    checked: date
    """When it was last compared with its source."""
    note: str = ""
    """What a reader should know: doubts, assumptions."""

    @field_validator("valid_from", "valid_to")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs its zone, such as 2025-09-05T16:00:00Z")
        return None if value is None else value.astimezone(UTC)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        zone_of(value)
        return value

    @field_validator("models")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("name at least one model, or '*' for any")
        return tuple(dict.fromkeys(name.lower() for name in value))

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.cache_hit is not None and self.cache_hit > self.cache_miss:
            raise ValueError(f"a cache hit ({self.cache_hit}) cannot cost more than a miss ({self.cache_miss})")
        if self.valid_from and self.valid_to and self.valid_from >= self.valid_to:
            raise ValueError("valid_from must lie before valid_to")
        if self.daily is not None and self.daily[0] == self.daily[1]:
            raise ValueError("a daily window needs two different times; leave it out for the whole day")
        if self.weekdays is not None and not (self.weekdays and self.weekdays <= frozenset(range(1, 8))):
            raise ValueError("weekdays are numbers from 1 (Monday) to 7 (Sunday)")
        return self

    @cached_property
    def pico(self) -> tuple[int, int, int]:
        """Cost of one token in 10⁻¹² of the currency: cache hit, cache miss, completion."""
        hit = self.cache_miss if self.cache_hit is None else self.cache_hit
        return int(hit.scaleb(6)), int(self.cache_miss.scaleb(6)), int(self.completion.scaleb(6))

    def cost(self, usage: Usage) -> Cost:
        """The exact cost of `usage` at this price."""
        hit, miss, completion = self.pico
        currency = self.currency
        parts = (hit * usage.cache_hit_tokens, miss * usage.cache_miss_tokens, completion * usage.completion_tokens)
        return build(
            Cost,
            total=Money(sum(parts), currency),
            cache_hit=Money(parts[0], currency),
            cache_miss=Money(parts[1], currency),
            completion=Money(parts[2], currency),
            reasoning=Money(completion * usage.reasoning_tokens, currency),
            certainty=usage.certainty,
            price_ids=(self.id,),
        )

    def worst(self, prompt_tokens: int, max_tokens: int) -> Money:
        """The most a request can cost: no token cached, every allowed token generated."""
        _, miss, completion = self.pico
        return Money(miss * prompt_tokens + completion * max_tokens, self.currency)

    def holds_at(self, moment: datetime) -> bool:
        """Whether `moment` lies in the dates, weekdays and daily window of this price."""
        if (self.valid_from is not None and moment < self.valid_from) or (
            self.valid_to is not None and moment >= self.valid_to
        ):
            return False
        if self.daily is None and self.weekdays is None and not self.except_dates:
            return True
        local = moment.astimezone(zone_of(self.zone))
        opened = local.date()
        if self.daily is not None:
            start, end = self.daily
            now = local.time()
            if start < end:
                if not start <= now < end:
                    return False
            elif now < end:
                opened -= timedelta(days=1)  # past midnight: the window opened the day before
            elif now < start:
                return False
        return (self.weekdays is None or opened.isoweekday() in self.weekdays) and opened not in self.except_dates

    def edges(self, moment: datetime) -> list[datetime]:
        """The moments within two days after `moment` at which this price may begin or cease to hold."""
        found = [edge for edge in (self.valid_from, self.valid_to) if edge is not None]
        if self.daily is not None or self.weekdays is not None or self.except_dates:
            zone = zone_of(self.zone)
            today = moment.astimezone(zone).date()
            times = (time(0),) if self.daily is None else self.daily
            found += [
                datetime.combine(today + timedelta(days=ahead), at, zone).astimezone(UTC)
                for ahead in range(3)
                for at in times
            ]
        return [edge for edge in found if edge > moment]

    def stale_at(self, today: date) -> bool:
        """Whether it is claimed to hold still, and was compared with its source too long ago.

        A price for any host is a yardstick, which does not age.
        """
        return self.host != "*" and self.valid_to is None and today - self.checked > STALE_AFTER

    @property
    def narrowness(self) -> tuple[bool, bool, bool, bool, datetime]:
        """Of several prices that hold, the narrowest wins: window, then mode, model, host, then the later start."""
        return (
            self.daily is not None or self.weekdays is not None,
            self.mode is not None,
            "*" not in self.models,
            self.host != "*",
            self.valid_from or datetime.min.replace(tzinfo=UTC),
        )
