"""Which price holds for a request, and what the request costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from deepthrift_pricing._prices.calendar import EndingCalendar, ending_calendars
from deepthrift_pricing._prices.data import packaged_names, packaged_prices, read_prices
from deepthrift_pricing._prices.explain import PriceExplanation, explain_price
from deepthrift_pricing._prices.flat import Amount, flat_rows
from deepthrift_pricing._prices.genai import GenaiNames, genai_layers
from deepthrift_pricing._prices.lookup import PriceLookup
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import ConfigurationError, PriceNotFound
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Mode, Usage

_HORIZON: Final = timedelta(hours=1)
_NO_LIMIT: Final = 2**31 - 1
"""What can be afforded of something that costs nothing."""


class PriceBook(PriceLookup):
    """A list of prices in layers, with one rule for which row holds.

    The last layer that has a row in force wins, so `book + mine` overrides the book. Within a layer the narrowest row
    wins: a daily window before the whole day, a mode before both, a named model and host before any, then the later
    `valid_from`, then the later row.

    A request has two moments, and the row says which decides: its start, its end, or unknown; where it is unknown, or
    where the two rows disagree, the dearer one is booked, and marked as estimated if they differ.
    """

    @staticmethod
    def builtin() -> PriceBook:
        """Every official price, by host, each row with its source and the date on which it was checked."""
        return _builtin()

    @staticmethod
    def named(name: str) -> PriceBook:
        """A named profile, for any host, model and date.

        `brief`: the project's own price for each mode, a yardstick and never an official table.
        `official-2025-09-05`: what DeepSeek charged for V3.1. `official-2025-09-29`: the lower price that followed.

        Raises:
            ConfigurationError: There is no such profile.
        """
        return _named(name)

    @staticmethod
    def load(path: Path | str) -> PriceBook:
        """The prices in a TOML file of yours; see the page on prices for its keys.

        Raises:
            PriceDataError: The file cannot be read, or a row is invalid.
        """
        return PriceBook(read_prices(Path(path)))

    @staticmethod
    def flat(
        *,
        cache_miss: Amount,
        completion: Amount,
        cache_hit: Amount | None = None,
        thinking: Mapping[str, Amount] | None = None,
        currency: Currency = "USD",
        host: str = "*",
        model: str = "*",
        name: str = "flat",
        tier: str = "standard",
        per_request: Mapping[str, Amount] | None = None,
    ) -> PriceBook:
        """One price at all times, in units of `currency` per 1,000,000 tokens, for any host and model unless named.

        Args:
            cache_miss: Prompt tokens that are processed.
            completion: Generated tokens.
            cache_hit: Prompt tokens from the cache; left out, they cost as much as a miss.
            thinking: The amounts that differ in thinking mode, such as `{"completion": "1.68"}`.
            currency: `USD` or `CNY`.
            host: The host profile it holds for.
            model: The model it holds for.
            name: The row's id.
            tier: The service tier that it holds for.
            per_request: Amounts per 1,000 requests that the host bills by themselves, by kind, such as
                `{"search": "0.75"}`.

        Raises:
            PriceDataError: An amount is not a possible price; or is a binary float: write it as text.
        """
        return PriceBook(
            flat_rows(
                {"cache_miss": cache_miss, "completion": completion, "cache_hit": cache_hit},
                thinking,
                currency=currency,
                host=host,
                model=model,
                name=name,
                tier=tier,
                per_request=per_request,
            )
        )

    @staticmethod
    def from_genai_prices(provider: str, *, host: str = "*") -> PriceBook:
        """The prices of a provider as the `genai-prices` library has them, in USD; needs `deepthrift[prices]`.

        Brackets by prompt length, cache writes, fees for calls and searches, and service tiers are taken over; models
        are found by the names that the library matches.

        They are marked by ids that begin with `genai-prices/`, and were not compared with the provider here. Put such a
        book before your own and the official ones: `PriceBook.from_genai_prices("openai") + PriceBook.builtin()`.

        Raises:
            ConfigurationError: The library is not installed.
            PriceNotFound: It knows no such provider.
        """
        book = PriceBook()
        for layer in genai_layers(provider, host, utc_now().date()):
            book += PriceBook(layer)
        book._names = (GenaiNames(provider),)
        return book

    def at_tier(self, tier: str) -> PriceBook:
        """The book for an account whose requests all go at one service tier: its rows, as the usual price.

        `AsyncClient(…, host="bedrock", prices=PriceBook.builtin().at_tier("flex"))` books every call at the price of
        flex. For single calls, give `service_tier="flex"` to the call instead.

        Raises:
            PriceNotFound: No row is of that tier.
        """
        layers = [
            tuple(row.model_copy(update={"tier": "standard"}) for row in layer if row.tier == tier)
            for layer in self._layers
        ]
        if not any(layers):
            known = ", ".join(sorted({row.tier for row in self.rows}))
            raise PriceNotFound(f"no price is of the tier {tier!r}; the tiers are {known}")
        book = PriceBook()
        book._layers = tuple(layer for layer in layers if layer)
        book._names = self._names
        return book

    def stale(self, today: date | None = None) -> tuple[Price, ...]:
        """The rows that are claimed to hold still and were last compared with their source over 180 days ago."""
        day = utc_now().date() if today is None else today
        return tuple(row for row in self.rows if row.stale_at(day))

    def ending_calendars(self, today: date | None = None) -> tuple[EndingCalendar, ...]:
        """The lists of public holidays that end within 60 days, or have ended: one entry for each list of a host."""
        return ending_calendars(self.rows, utc_now().date() if today is None else today)

    def __add__(self, other: PriceBook) -> PriceBook:
        book = PriceBook()
        book._layers = self._layers + other._layers
        book._names = self._names + other._names
        return book

    def __len__(self) -> int:
        return sum(len(layer) for layer in self._layers)

    def __repr__(self) -> str:
        return f"<PriceBook of {len(self)} prices>"

    def find(
        self,
        *,
        host: str,
        model: str,
        mode: Mode,
        at: datetime,
        ended: datetime | None = None,
        currency: Currency = "USD",
        tier: str = "standard",
    ) -> Price:
        """The price of a request that starts at `at` and ends at `ended` (if not given: at once).

        Raises:
            PriceNotFound: No row fits; a missing price is never zero.
        """
        return self._found(host, model, mode, at, ended, currency, tier)[0]

    def cost(
        self,
        usage: Usage,
        *,
        host: str,
        model: str,
        mode: Mode,
        started_at: datetime,
        ended_at: datetime | None = None,
        currency: Currency = "USD",
        tier: str = "standard",
    ) -> Cost:
        """The cost of a request: exact, unless something leaves open which price holds; then the dearer one, estimated.

        Raises:
            PriceNotFound: No row fits, or it has no price for one of the requests in `usage`.
        """
        return _cost_among(self._found(host, model, mode, started_at, ended_at, currency, tier), usage, started_at)

    def worst(
        self,
        *,
        host: str,
        model: str,
        mode: Mode,
        prompt_tokens: int,
        max_tokens: int,
        at: datetime | None = None,
        within: timedelta = _HORIZON,
        currency: Currency = "USD",
        tier: str = "standard",
        requests: Mapping[str, int] | None = None,
    ) -> Money:
        """The most a request can cost: nothing cached, all of `max_tokens` generated, at the dearest price in reach.

        Args:
            host: The host profile that bills.
            model: The model asked for.
            mode: The mode asked for.
            prompt_tokens: Tokens of the prompt, or an upper bound.
            max_tokens: The most tokens that may be generated.
            at: When it starts; now, if not given.
            within: How long the request may take; a price that begins in that time counts, unless the start decides.
            currency: The currency wanted.
            tier: The service tier.
            requests: The most requests of each kind that the host may bill by themselves.

        Raises:
            PriceNotFound: No row fits, or it has no price for one of the requests.
        """
        at = utc_now() if at is None else at
        reachable = self._reachable(host, model, mode, at, within, currency, tier)
        if len(reachable) == 1:
            return reachable[0].worst(prompt_tokens, max_tokens, requests)
        worsts = (price.worst(prompt_tokens, max_tokens, requests) for price in reachable)
        return max(worsts, key=lambda worst: worst.pico)

    def affordable(
        self,
        room: Money,
        *,
        host: str,
        model: str,
        mode: Mode,
        prompt_tokens: int,
        at: datetime | None = None,
        within: timedelta = _HORIZON,
        tier: str = "standard",
        requests: Mapping[str, int] | None = None,
    ) -> int | None:
        """The most `max_tokens` whose worst case fits `room`; `None` when the prompt alone does not.

        Raises:
            PriceNotFound: No row fits, in the currency of `room`.
        """
        at = utc_now() if at is None else at
        fewest = -1
        for price in self._reachable(host, model, mode, at, within, room.currency, tier):
            most = price.affordable(room.pico, prompt_tokens, requests)
            if most is None:
                return None
            if most >= 0:
                fewest = most if fewest < 0 else min(fewest, most)
        return _NO_LIMIT if fewest < 0 else fewest

    def explain(
        self,
        usage: Usage,
        *,
        host: str,
        model: str,
        mode: Mode,
        started_at: datetime,
        ended_at: datetime | None = None,
        currency: Currency = "USD",
        tier: str = "standard",
    ) -> PriceExplanation:
        """Which row made the cost of a request, why that one, and the arithmetic, for a person to read.

        Raises:
            PriceNotFound: No row fits.
        """
        found = self._found(host, model, mode, started_at, ended_at, currency, tier)
        cost = _cost_among(found, usage, started_at)
        price = next(row for row in found if row.id in cost.price_ids)
        candidates = self._track(host, model, mode, currency, tier).rows
        return explain_price(usage, cost, price, found, candidates, started_at, ended_at)


def _cost_among(rows: Sequence[Price], usage: Usage, started_at: datetime) -> Cost:
    """The cost at the row that holds; of two that may hold, at the dearer one, estimated."""
    cost = rows[0].cost(usage)
    certainty = rows[0].certainty_at(started_at)
    if len(rows) == 2 and (other := rows[1].cost(usage)).total != cost.total:
        cost = max(cost, other, key=lambda each: each.total)
        certainty = "estimated"
    if certainty == "exact" or cost.certainty != "exact":
        return cost
    return cost.model_copy(update={"certainty": certainty})


@lru_cache(maxsize=1)
def _builtin() -> PriceBook:
    return PriceBook(row for name in packaged_names() for row in packaged_prices(name))


@lru_cache(maxsize=16)
def _named(name: str) -> PriceBook:
    known = packaged_names("profiles")
    if name not in known:
        raise ConfigurationError(f"there is no price profile {name!r}; the profiles are {', '.join(known)}")
    return PriceBook(packaged_prices(f"profiles/{name}"))
