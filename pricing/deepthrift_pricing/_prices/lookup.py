"""Which rows of a price book decide the price of a request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from deepthrift_pricing._prices.missing import no_price
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._prices.track import PriceTrack
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing._values.usage import Mode

_LOG: Final = logging.getLogger("deepthrift.prices")
_Key: TypeAlias = tuple[str, str, Mode, Currency, str]
Names: TypeAlias = Callable[[str], str | None]
"""Finds the name under which a model has a price, for one that has none of its own."""
_CACHED_KEYS: Final = 4096


class PriceLookup:
    """Layers of price rows, and the rule for which one holds."""

    def __init__(self, rows: Iterable[Price] = ()) -> None:
        first = tuple(rows)
        self._layers: tuple[tuple[Price, ...], ...] = (first,) if first else ()
        self._names: tuple[Names, ...] = ()
        self._tracks: dict[_Key, PriceTrack] = {}
        self._looked_at: set[str] = set()

    @property
    def rows(self) -> tuple[Price, ...]:
        """Every row, the first layer first."""
        return tuple(row for layer in self._layers for row in layer)

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
            rows = self._fitting(host, model.lower(), mode, currency, tier)
            if not rows:
                names = dict.fromkeys(found(model) for found in self._names)
                rows = [row for name in names if name for row in self._fitting(host, name, mode, currency, tier)]
            if len(self._tracks) >= _CACHED_KEYS:
                self._tracks.clear()
            track = self._tracks[key] = PriceTrack(tuple(rows))
        return track

    def _fitting(self, host: str, name: str, mode: Mode, currency: Currency, tier: str) -> list[Price]:
        """The rows for a model, in order of precedence."""
        rows: list[Price] = []
        for layer in reversed(self._layers):
            fitting = [
                row
                for row in reversed(layer)
                if row.currency == currency
                and row.tier == tier
                and row.host in ("*", host)
                and row.mode in (None, mode)
                and row.fits(name)
            ]
            rows += sorted(fitting, key=lambda row: row.narrowness, reverse=True)
        return rows
