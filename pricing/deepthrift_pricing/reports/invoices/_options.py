"""What the reader of an invoice is told, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Context, Decimal
from typing import Final

from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing.reports.invoices._amounts import DecimalMark

EXACT: Final = Context(prec=120)
"""Sums of amounts with any number of decimals that an invoice writes."""


@dataclass(frozen=True, slots=True)
class Options:
    """The user's options."""

    currency: Currency | None = None
    since: datetime | None = None
    until: datetime | None = None
    decimal: DecimalMark | None = None
    zone: tzinfo = UTC
    host: str | None = None
    prices: PriceBook | None = None

    @property
    def bounded(self) -> bool:
        """Whether only some period counts."""
        return self.since is not None or self.until is not None

    def covers(self, at: datetime) -> bool:
        """Whether what begins at this moment counts."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def cuts(self, start: datetime, end: datetime) -> bool:
        """Whether an edge of the period lies inside of a span."""
        return any(edge is not None and start < edge < end for edge in (self.since, self.until))

    def accept(self, code: str | None, where: str) -> Currency | None:
        """The currency of a row; `None` where nothing names it.

        Raises:
            ConfigurationError: It is not kept here, or not the one that is wanted.
        """
        if code is None:
            return self.currency
        currency: Currency | None = "USD" if code == "USD" else "CNY" if code == "CNY" else None
        if currency is None:
            raise ConfigurationError(f"{where}: {code!r} is no currency that is kept here; amounts are in USD or CNY")
        if self.currency not in (None, currency):
            raise ConfigurationError(
                f"{where} is in {currency}, and {self.currency} is wanted: amounts are never converted; "
                f"compare with spend in {currency}"
            )
        return currency


@dataclass(slots=True)
class Part:
    """What one table comes to."""

    name: str
    layout: str
    total: Decimal = Decimal(0)
    currency: Currency | None = None
    rows: int = 0
    outside: int = 0
    sums: int = 0
    blank: int = 0
    edges: int = 0
    first: datetime | None = None
    last: datetime | None = None
    exclusive: bool = False
    fine: bool = False
    """Whether there were amounts of more than twelve decimals."""
    assumed: bool = False
    """Whether no row named a currency."""
    notes: list[str] = field(default_factory=list[str])

    def widen(self, start: datetime, end: datetime) -> None:
        """Notes that the table covers this span, too."""
        self.first = start if self.first is None else min(self.first, start)
        self.last = end if self.last is None else max(self.last, end)
