"""Which price holds for a request, and what the request costs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

from deepthrift_pricing._prices.data import packaged_names, packaged_prices, read_prices
from deepthrift_pricing._prices.explain import PriceExplanation, explain_price
from deepthrift_pricing._prices.flat import Amount, flat_rows
from deepthrift_pricing._prices.genai import genai_layers
from deepthrift_pricing._prices.missing import no_price
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._prices.track import PriceTrack
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import ConfigurationError, PriceNotFound
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Mode, Usage, least_certain

_LOG: Final = logging.getLogger("deepthrift.prices")
_Key: TypeAlias = tuple[str, str, Mode, Currency, str]
_HORIZON: Final = timedelta(hours=1)
_CACHED_KEYS: Final = 4096
_NO_LIMIT: Final = 2**31 - 1
"""What can be afforded of something that costs nothing."""


class PriceBook:
    """A list of prices in layers, with one rule for which row holds.

    The last layer that has a row in force wins, so `book + mine` overrides the book. Within a layer the narrowest row
    wins: a daily window before the whole day, a mode before both, a named model and host before any, then the later
    `valid_from`, then the later row.

    A request has two moments, and the row says which decides: its start, its end, or unknown; where it is unknown, or
    where the two rows disagree, the dearer one is booked, and marked as estimated if they differ.
    """

    def __init__(self, rows: Iterable[Price] = ()) -> None:
        first = tuple(rows)
        self._layers: tuple[tuple[Price, ...], ...] = (first,) if first else ()
        self._tracks: dict[_Key, PriceTrack] = {}
        self._looked_at: set[str] = set()

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
            )
        )

    @staticmethod
    def from_genai_prices(provider: str, *, host: str = "*") -> PriceBook:
        """The prices of a provider as the `genai-prices` library has them, in USD; needs `deepthrift[prices]`.

        They are marked by ids that begin with `genai-prices/`, and were not compared with the provider here. Put such a
        book before your own and the official ones: `PriceBook.from_genai_prices("openai") + PriceBook.builtin()`.

        Raises:
            ConfigurationError: The library is not installed.
            PriceNotFound: It knows no such provider.
        """
        book = PriceBook()
        for layer in genai_layers(provider, host, utc_now().date()):
            book += PriceBook(layer)
        return book

    def at_tier(self, tier: str) -> PriceBook:
        """The book for an account or a client whose requests all go at one service tier: its rows, as the usual price.

        `AsyncClient(…, host="bedrock", prices=PriceBook.builtin().at_tier("flex"))` books flex calls at what they cost.

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
        return book

    @property
    def rows(self) -> tuple[Price, ...]:
        """Every row, the first layer first."""
        return tuple(row for layer in self._layers for row in layer)

    def stale(self, today: date | None = None) -> tuple[Price, ...]:
        """The rows that are claimed to hold still and were last compared with their source over 180 days ago."""
        day = utc_now().date() if today is None else today
        return tuple(row for row in self.rows if row.stale_at(day))

    def __add__(self, other: PriceBook) -> PriceBook:
        book = PriceBook()
        book._layers = self._layers + other._layers
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
        """The exact cost of a request.

        Raises:
            PriceNotFound: No row fits.
        """
        found = self._found(host, model, mode, started_at, ended_at, currency, tier)
        cost = found[0].cost(usage)
        if len(found) == 2 and (other := found[1].cost(usage)).total != cost.total:
            cost = max(cost, other, key=lambda each: each.total)
            cost = cost.model_copy(update={"certainty": least_certain(cost.certainty, "estimated")})
        return cost

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

        Raises:
            PriceNotFound: No row fits.
        """
        at = utc_now() if at is None else at
        reachable = self._reachable(host, model, mode, at, within, currency, tier)
        if len(reachable) == 1:
            return reachable[0].worst(prompt_tokens, max_tokens)
        return max((price.worst(prompt_tokens, max_tokens) for price in reachable), key=lambda worst: worst.pico)

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
    ) -> int | None:
        """The most `max_tokens` whose worst case fits `room`; `None` when the prompt alone does not.

        Raises:
            PriceNotFound: No row fits, in the currency of `room`.
        """
        at = utc_now() if at is None else at
        fewest: int | None = None
        for price in self._reachable(host, model, mode, at, within, room.currency, tier):
            _, miss, completion = price.pico
            left = room.pico - miss * prompt_tokens
            if left < 0:
                return None
            if completion:
                fewest = left // completion if fewest is None else min(fewest, left // completion)
        return _NO_LIMIT if fewest is None else fewest

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
        cost = self.cost(
            usage,
            host=host,
            model=model,
            mode=mode,
            started_at=started_at,
            ended_at=ended_at,
            currency=currency,
            tier=tier,
        )
        price = next(row for row in found if row.id in cost.price_ids)
        candidates = self._track(host, model, mode, currency, tier).rows
        return explain_price(usage, cost, price, found, candidates, started_at, ended_at)

    def _reachable(
        self, host: str, model: str, mode: Mode, at: datetime, within: timedelta, currency: Currency, tier: str
    ) -> list[Price]:
        """Every row that may decide the price of a request that starts at `at` and takes at most `within`."""
        track = self._track(host, model, mode, currency, tier)
        price, until = track.at(at)
        if price is None:
            raise no_price(self.rows, host, model, mode, at, currency, tier)
        if at + within < until:
            return [price]
        others = track.between(at, at + within)
        return [each for each in others if each is price or not price.decided_by == each.decided_by == "start"]

    def _found(
        self,
        host: str,
        model: str,
        mode: Mode,
        at: datetime,
        ended: datetime | None,
        currency: Currency,
        tier: str,
    ) -> tuple[Price, ...]:
        """The one row that decides, or the two between which nobody published how to decide, the dearer one first."""
        track = self._track(host, model, mode, currency, tier)
        first = track.price_at(at)
        last = first if ended is None else track.price_at(ended)
        if last is not None and last.id not in self._looked_at:
            self._warn_if_stale(last)
        if first is None or last is None:
            only = first or last
            if only is None:
                raise no_price(self.rows, host, model, mode, at, currency, tier)
            return (only,)
        if first is last or first.decided_by == last.decided_by == "start":
            return (first,)
        if first.decided_by == last.decided_by == "end":
            return (last,)
        return tuple(sorted((first, last), key=lambda row: (row.completion, row.cache_miss), reverse=True))

    def _warn_if_stale(self, price: Price) -> None:
        self._looked_at.add(price.id)
        if price.stale_at(utc_now().date()):
            _LOG.warning(
                "the price %s was last compared with its source on %s; look at %s and give your own if it has changed",
                price.id,
                price.checked,
                price.source,
            )

    def _track(self, host: str, model: str, mode: Mode, currency: Currency, tier: str) -> PriceTrack:
        key: _Key = (host, model, mode, currency, tier)
        track = self._tracks.get(key)
        if track is None:
            name = model.lower()
            rows: list[Price] = []
            for layer in reversed(self._layers):
                fitting = [
                    row
                    for row in reversed(layer)
                    if row.currency == currency
                    and row.tier == tier
                    and row.host in ("*", host)
                    and row.mode in (None, mode)
                    and ("*" in row.models or name in row.models)
                ]
                rows += sorted(fitting, key=lambda row: row.narrowness, reverse=True)
            if len(self._tracks) >= _CACHED_KEYS:
                self._tracks.clear()
            track = self._tracks[key] = PriceTrack(tuple(rows))
        return track


@lru_cache(maxsize=1)
def _builtin() -> PriceBook:
    return PriceBook(row for name in packaged_names() for row in packaged_prices(name))


@lru_cache(maxsize=16)
def _named(name: str) -> PriceBook:
    known = packaged_names("profiles")
    if name not in known:
        raise ConfigurationError(f"there is no price profile {name!r}; the profiles are {', '.join(known)}")
    return PriceBook(packaged_prices(f"profiles/{name}"))
