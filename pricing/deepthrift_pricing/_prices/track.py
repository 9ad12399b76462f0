"""Which of a few rows is in force at a moment, remembered until that changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from deepthrift_pricing._prices.price import Price

_FAR: Final = timedelta(days=1)
_NEAR: Final = timedelta(minutes=1)


class PriceTrack:
    """The rows that can hold for one host, model, mode, currency and tier, the first that holds now, and until when."""

    __slots__ = ("asked", "rows", "segment")

    def __init__(self, rows: tuple[Price, ...]) -> None:
        self.rows = rows
        """In order of precedence."""
        self.segment: tuple[datetime, datetime, Price | None] | None = None
        self.asked: datetime | None = None
        """The last moment outside the segment; a second one close to it is worth a new segment."""

    def price_at(self, moment: datetime) -> Price | None:
        """The row in force at `moment`."""
        segment = self.segment
        if segment is not None and segment[0] <= moment < segment[1]:
            return segment[2]
        asked, self.asked = self.asked, moment
        if asked is not None and asked <= moment < asked + _NEAR:
            return self.at(moment)[0]
        return next((row for row in self.rows if row.holds_at(moment)), None)

    def at(self, moment: datetime) -> tuple[Price | None, datetime]:
        """The row in force at `moment`, and a moment up to which it surely stays so."""
        segment = self.segment
        if segment is not None and segment[0] <= moment < segment[1]:
            return segment[2], segment[1]
        until = moment + _FAR
        for row in self.rows:
            for edge in row.edges(moment):
                until = min(until, edge)
        price = next((row for row in self.rows if row.holds_at(moment)), None)
        self.segment = (moment, until, price)
        return price, until

    def between(self, start: datetime, end: datetime) -> list[Price]:
        """Every row in force at some moment from `start` up to and including `end`."""
        found: list[Price] = []
        moment = start
        while moment <= end:
            price, moment = self.at(moment)
            if price is not None and price not in found:
                found.append(price)
        return found
