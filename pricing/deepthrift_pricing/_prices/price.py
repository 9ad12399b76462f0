"""One price: a fact with a source, a time in which it holds, and exact integers per token."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from deepthrift_pricing._prices.amounts import (
    Bracket,
    PerMillion,
    PerThousand,
    TokenPico,
    check_brackets,
    check_hit,
    check_kinds,
    token_pico,
    write_pico,
)
from deepthrift_pricing._values.build import build
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import PriceNotFound
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Certainty, Mode, Usage, least_certain
from deepthrift_pricing._values.zone import zone_of

DecidedBy: TypeAlias = Literal["start", "end", "unknown"]
"""Which moment of a request decides its price. `unknown`: nobody published it, so the dearer of the two is taken."""

STALE_AFTER: Final = timedelta(days=180)
"""A price that still holds should be compared with its source at least this often."""
ANY: Final = "*"
CALL: Final = "call"
"""The kind of request that every call is: a price for it is a fee for each successful call."""


class Price(BaseModel):
    """One row of a price list: what 1,000,000 tokens and 1,000 requests cost, for whom, and when."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", validate_default=True)

    id: str = Field(min_length=1)
    """Names the row for good; every booked attempt keeps the ids of its prices."""
    host: str = "*"
    """The host profile that bills it; `*` is any."""
    models: tuple[str, ...] = ("*",)
    """Model names, compared without regard to case; `*` is any, and `deepseek-v4-flash-*` all that begin so."""
    mode: Mode | None = None
    """The mode it holds for; `None` is both."""
    currency: Currency = "USD"
    cache_hit: PerMillion | None = None
    """Prompt tokens read from the provider's cache; `None`: the host lists no such price and bills the miss price."""
    cache_miss: PerMillion
    """Prompt tokens that are processed."""
    cache_write: PerMillion | None = None
    """Prompt tokens that the host stores in its cache, where that costs more or less than a miss; `None`: as a miss.
    They're reserved at the dearer price. Where the host doesn't report how many it stored, they're booked as misses,
    and the cost is `estimated`."""
    cache_write_varies: bool = False
    """Whether `cache_write` is the dearest of several prices, of which a usage doesn't tell the right one."""
    completion: PerMillion
    """Generated tokens, reasoning included."""
    certainty: Certainty = "exact"
    """`estimated` where the host also bills something that a usage doesn't tell, such as citations."""
    brackets: tuple[Bracket, ...] = ()
    """Other prices for longer prompts."""
    per_request: Mapping[str, PerThousand] = {}
    """What 1,000 requests of a kind cost that the host bills by themselves: `search`, `fetch`, `ocr_page`. The kind
    `call` is every call itself."""
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
    holidays_until: date | None = None
    """The last day for which all public holidays are known; the last of `except_dates` unless given. Later costs in
    this window are `estimated`, for the day may be a holiday."""
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
        if wrong := next((name for name in value if "*" in name[:-1]), None):
            raise ValueError(f"{wrong!r}: a '*' stands at the end of a model's name, or alone")
        return tuple(dict.fromkeys(name.lower() for name in value))

    @field_validator("brackets")
    @classmethod
    def _ascending(cls, value: tuple[Bracket, ...]) -> tuple[Bracket, ...]:
        return check_brackets(value)

    @field_validator("per_request")
    @classmethod
    def _kinds(cls, value: Mapping[str, PerThousand]) -> Mapping[str, PerThousand]:
        return check_kinds(value)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        check_hit(self.cache_hit, self.cache_miss)
        if self.valid_from and self.valid_to and self.valid_from >= self.valid_to:
            raise ValueError("valid_from must lie before valid_to")
        if self.daily is not None and self.daily[0] == self.daily[1]:
            raise ValueError("a daily window needs two different times; leave it out for the whole day")
        if self.weekdays is not None and not (self.weekdays and self.weekdays <= frozenset(range(1, 8))):
            raise ValueError("weekdays are numbers from 1 (Monday) to 7 (Sunday)")
        return self

    @cached_property
    def pico(self) -> TokenPico:
        """Cost of one token in 10⁻¹² of the currency: cache hit, cache miss, completion; for short prompts."""
        return token_pico(self.cache_hit, self.cache_miss, self.completion)

    @cached_property
    def _write_pico(self) -> int:
        return write_pico(self.cache_write, self.cache_miss)

    @cached_property
    def _request_pico(self) -> Mapping[str, int]:
        return {kind: int(price.scaleb(9)) for kind, price in self.per_request.items()}

    def rates(self, prompt_tokens: int) -> TokenPico:
        """Like `pico`, for a prompt of this length, cached tokens included."""
        return self._rates(prompt_tokens)[0]

    def _rates(self, prompt_tokens: int) -> tuple[TokenPico, int]:
        """The prices per token for a prompt of this length, and that of a token written to the cache."""
        for bracket in reversed(self.brackets):
            if prompt_tokens > bracket.above:
                return bracket.pico, bracket.write_pico
        return self.pico, self._write_pico

    def cost(self, usage: Usage) -> Cost:
        """The cost of `usage` at this price: exact, unless `usage` leaves open what is billed at which price.

        Raises:
            PriceNotFound: It holds requests of a kind that has no price here.
        """
        (hit, miss, completion), write = self._rates(usage.prompt_tokens)
        currency, certainty = self.currency, least_certain(usage.certainty, self.certainty)
        misses, written = usage.cache_miss_tokens, usage.cache_write_tokens
        missed = miss * misses
        if write != miss and misses:
            if written is None:
                certainty = least_certain(certainty, "estimated")
            elif written:
                missed += (write - miss) * written
                certainty = least_certain(certainty, "estimated" if self.cache_write_varies else "exact")
        parts = (hit * usage.cache_hit_tokens, missed, completion * usage.completion_tokens)
        requests = self.requests_pico(usage.requests)
        return build(
            Cost,
            total=Money(sum(parts) + requests, currency),
            cache_hit=Money(parts[0], currency),
            cache_miss=Money(parts[1], currency),
            completion=Money(parts[2], currency),
            reasoning=Money(completion * usage.reasoning_tokens, currency),
            certainty=certainty,
            price_ids=(self.id,),
        )

    def requests_pico(self, requests: Mapping[str, int]) -> int:
        """What requests that are billed by themselves cost, in 10⁻¹² of the currency; one call is always among them.

        Raises:
            PriceNotFound: One of a kind that has no price here.
        """
        prices = self._request_pico
        if not prices and not requests:
            return 0
        total = prices.get(CALL, 0) * requests.get(CALL, 1)
        for kind, count in requests.items():
            if kind == CALL or not count:
                continue
            if kind not in prices:
                known = ", ".join(sorted(prices)) or "none"
                raise PriceNotFound(
                    f"the price {self.id!r} has no amount for requests of the kind {kind!r} (it has: {known}); add it "
                    "to per_request in a price file of yours"
                )
            total += prices[kind] * count
        return total

    def worst(self, prompt_tokens: int, max_tokens: int, requests: Mapping[str, int] | None = None) -> Money:
        """The most a request can cost: no token cached, every allowed token generated, every allowed request made.

        Raises:
            PriceNotFound: `requests` has a kind without a price.
        """
        pico = max(prompt + completion * max_tokens for prompt, completion in self._bounds(prompt_tokens))
        return Money(pico + self.requests_pico(requests or {}), self.currency)

    def affordable(self, room: int, prompt_tokens: int, requests: Mapping[str, int] | None = None) -> int | None:
        """The most `max_tokens` whose worst case fits `room`, in 10⁻¹²; `None`: not even the prompt, -1: any number."""
        room -= self.requests_pico(requests or {})
        fewest = -1
        for prompt, completion in self._bounds(prompt_tokens):
            if prompt > room:
                return None
            if completion:
                most = (room - prompt) // completion
                fewest = most if fewest < 0 else min(fewest, most)
        return fewest

    def _bounds(self, prompt_tokens: int) -> list[tuple[int, int]]:
        """The most that a prompt of up to so many tokens can cost in each bracket, and the price of a token there."""
        write = max(self.pico[1], self._write_pico)
        longest = [*(bracket.above for bracket in self.brackets), prompt_tokens]
        found = [(write * min(prompt_tokens, longest[0]), self.pico[2])]
        for place, bracket in enumerate(self.brackets, 1):
            if prompt_tokens > bracket.above:
                dearest = max(bracket.pico[1], bracket.write_pico)
                found.append((dearest * min(prompt_tokens, longest[place]), bracket.pico[2]))
        return found

    def fits(self, model: str) -> bool:
        """Whether it is a price of `model`, whose name is in lower case."""
        return any(name in (ANY, model) or (name.endswith(ANY) and model.startswith(name[:-1])) for name in self.models)

    @property
    def calendar_end(self) -> date | None:
        """The last day for which the holidays of its window are known; `None` where it has no holidays."""
        if self.holidays_until is not None:
            return self.holidays_until
        return max(self.except_dates, default=None)

    def certainty_at(self, moment: datetime) -> Certainty:
        """`estimated` after the end of the calendar of holidays: nobody knows yet whether the window opens."""
        end = self.calendar_end
        if end is None or moment.astimezone(zone_of(self.zone)).date() <= end:
            return "exact"
        return "estimated"

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
    def narrowness(self) -> tuple[bool, bool, int, bool, datetime]:
        """Of several prices that hold, the narrowest wins: window, then mode, model, host, then the later start."""
        return (
            self.daily is not None or self.weekdays is not None,
            self.mode is not None,
            0 if ANY in self.models else 1 if any(name.endswith(ANY) for name in self.models) else 2,
            self.host != "*",
            self.valid_from or datetime.min.replace(tzinfo=UTC),
        )
