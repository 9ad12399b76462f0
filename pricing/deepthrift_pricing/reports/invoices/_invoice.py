"""Invoices and usage exports: read right, or refused with the line that is in the way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.zone import zone_of
from deepthrift_pricing.reports.invoices._amounts import DecimalMark
from deepthrift_pricing.reports.invoices._columns import Chooser, Columns
from deepthrift_pricing.reports.invoices._files.table import Table, read_table
from deepthrift_pricing.reports.invoices._files.unpack import Source, Unpacker
from deepthrift_pricing.reports.invoices._money_table import MoneyTable
from deepthrift_pricing.reports.invoices._options import EXACT, Options, Part
from deepthrift_pricing.reports.invoices._token_table import TokenTable

_PICO: Final = Decimal("1e-12")


class Invoice(BaseModel):
    """What an invoice or usage export says."""

    model_config = ConfigDict(frozen=True)

    total: Money
    layout: str
    """Whose export it is, such as `FOCUS`; `general` where its columns were found by their names."""
    rows: int
    """Rows that count."""
    outside: int = 0
    """Rows left out because they begin outside of the period."""
    sums: int = 0
    """Rows left out because they sum up others."""
    blank: int = 0
    """Rows without an amount."""
    first: datetime | None = None
    """When the first row begins, the ones outside of the period included."""
    last: datetime | None = None
    """When the last one ends."""
    notes: tuple[str, ...] = ()
    """What a reader should know: roundings, guesses, files that were left out."""


def read_invoice(
    source: Path | bytes | str,
    *,
    currency: Currency | None = None,
    column: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    decimal: DecimalMark | None = None,
    zone: str = "UTC",
    host: str | None = None,
    prices: PriceBook | None = None,
) -> Invoice:
    """Read an invoice or usage export.

    The exports of DeepSeek, OpenRouter, OpenAI, Anthropic, AWS, Azure and everything in FOCUS are known by their own
    columns and currency; others by the names of their columns. CSV with any separator, in gzip or zip, or Parquet.

    Args:
        source: A file, its bytes, or its text.
        currency: The currency that is wanted: a file in another one is refused. It counts where the file names none.
        column: The column of amounts, where its name is not known.
        since: Only rows that begin from this moment on.
        until: Only rows that begin before this moment.
        decimal: The mark in front of decimals, where the file leaves it open.
        zone: The time zone of dates that name none, in files that are not known.
        host: Whose prices hold for a file of token counts.
        prices: Prices for a file of token counts that has none; by default the built-in ones.

    Raises:
        ConfigurationError: The file cannot be read for certain; the message names the line.
        OSError: The file cannot be read at all.
    """
    try:
        options = Options(currency, since, until, decimal, zone_of(zone), host, prices)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    data = source.read_bytes() if isinstance(source, Path) else source
    data = data.encode(errors="replace") if isinstance(data, str) else data
    unpacker = Unpacker()
    chooser = Chooser(column)
    sources = unpacker.sources(data)
    if not sources:
        raise ConfigurationError("the archive holds no table; an invoice is a CSV or Parquet file")
    notes = [f"{name} is no table and was left out" for name in unpacker.skipped]
    parts: list[Part] = []
    tokens: list[tuple[Table, Columns]] = []
    seen: dict[bytes, str] = {}
    for each in sources:
        digest = hashlib.sha256(each.data).digest()
        if digest in seen:
            notes.append(f"{each.name} is the same as {seen[digest]} and was left out")
            continue
        seen[digest] = each.name
        table, columns = _table(each, chooser)
        if table.guessed:
            notes.append(f"{each.name or 'the text'} was read as {table.guessed}")
        if columns.tokens is None:
            parts.append(MoneyTable(table, columns, options).read())
        else:
            tokens.append((table, columns))
    if parts:
        notes += [f"{table.name} holds numbers of tokens and was left out" for table, _ in tokens]
    else:
        parts = [TokenTable(table, columns, options).read() for table, columns in tokens]
    return _invoice(parts, notes, options)


def invoice_total(
    source: Path | bytes | str,
    *,
    currency: Currency | None = None,
    column: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    decimal: DecimalMark | None = None,
    zone: str = "UTC",
    host: str | None = None,
    prices: PriceBook | None = None,
) -> Money:
    """The sum of an invoice or usage export. `read_invoice` says more, and describes the options.

    Raises:
        ConfigurationError: The file cannot be read for certain; the message names the line.
        OSError: The file cannot be read at all.
    """
    return read_invoice(
        source,
        currency=currency,
        column=column,
        since=since,
        until=until,
        decimal=decimal,
        zone=zone,
        host=host,
        prices=prices,
    ).total


def _table(source: Source, chooser: Chooser) -> tuple[Table, Columns]:
    table = read_table(source, chooser.rank)
    return table, chooser.choose(table.header, source.name or "the invoice")


def _invoice(parts: Sequence[Part], notes: list[str], options: Options) -> Invoice:
    currencies: set[Currency] = {part.currency for part in parts if part.currency is not None}
    if len(currencies) > 1:
        raise ConfigurationError("the invoice mixes currencies; split it, and reconcile each apart")
    _refuse_overlaps(parts)
    currency: Currency = currencies.pop() if currencies else options.currency or "USD"
    exact = Decimal(0)
    for part in parts:
        exact = EXACT.add(exact, part.total)
        notes += part.notes
    rounded = exact.quantize(_PICO, ROUND_HALF_EVEN, context=EXACT)
    rows = sum(part.rows for part in parts)
    firsts = [part.first for part in parts if part.first is not None]
    lasts = [part.last for part in parts if part.last is not None]
    sums, outside = sum(part.sums for part in parts), sum(part.outside for part in parts)
    if any(part.fine for part in parts):
        notes.append("amounts have more than twelve decimals, as binary floats do; their sum is rounded to twelve")
    if edges := sum(part.edges for part in parts):
        notes.append(
            f"{edges:,} rows lie across the edge of the period and count where they begin; "
            "ask for whole days in the time zone of the file"
        )
    if any(part.assumed for part in parts):
        notes.append(f"the file names no currency; it is taken for {currency}")
    if sums:
        notes.append(f"{sums:,} rows sum up others and were left out")
    if outside:
        notes.append(f"{outside:,} rows begin outside of the period and were left out")
    if not rows:
        notes.append("no row counts")
    return Invoice(
        total=Money.of(rounded, currency),
        layout=", ".join(dict.fromkeys(part.layout for part in parts)),
        rows=rows,
        outside=outside,
        sums=sums,
        blank=sum(part.blank for part in parts),
        first=min(firsts, default=None),
        last=max(lasts, default=None),
        notes=tuple(notes),
    )


def _refuse_overlaps(parts: Sequence[Part]) -> None:
    """Two exports of the same days hold the same spend twice."""
    known = [part for part in parts if part.exclusive and part.first is not None and part.last is not None]
    for number, one in enumerate(known):
        for other in known[number + 1 :]:
            if one.layout != other.layout or one.first is None or other.first is None or not one.last or not other.last:
                continue
            if one.first < other.last and other.first < one.last:
                raise ConfigurationError(f"{one.name} and {other.name} cover the same days; keep one of them")
