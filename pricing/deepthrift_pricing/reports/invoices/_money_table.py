"""A table of amounts, summed in every reading that its cells leave open, of which one has to be left in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.reports.invoices._amounts import Amount, DecimalMark, amount_of, currency_code
from deepthrift_pricing.reports.invoices._cells import data_rows, others
from deepthrift_pricing.reports.invoices._columns import Columns
from deepthrift_pricing.reports.invoices._dates import Order, Span, spans_of
from deepthrift_pricing.reports.invoices._files.table import Table
from deepthrift_pricing.reports.invoices._options import EXACT, Options, Part
from deepthrift_pricing.reports.invoices._totals import Label, Sums, label_of, states

_MARKS: Final[tuple[DecimalMark, ...]] = (".", ",")
_ORDERS: Final[tuple[Order, ...]] = ("day", "month")
_NOTHING: Final = ("", "null", "\\n")
_MOST_HELD: Final = 1000
_FINEST: Final = -12
_NO_DATE: Final = "{!r} is not a date that can be read; write 2026-10-01"


@dataclass(slots=True)
class _Tally:
    total: Decimal = Decimal(0)
    rows: int = 0
    outside: int = 0
    edges: int = 0


@dataclass(frozen=True, slots=True)
class _PendingRow:
    """A row that is likely a sum, and the sums above it."""

    line: int
    amount: Amount
    sums: dict[DecimalMark, tuple[Decimal, Decimal]]
    named: bool
    """Whether it says that it is one."""


class MoneyTable:
    """Reads one table."""

    def __init__(self, table: Table, columns: Columns, options: Options) -> None:
        self._table = table
        self._columns = columns
        self._options = options
        self._zone = UTC if columns.known else options.zone
        self._part = Part(table.name, columns.layout, exclusive=columns.exclusive)
        self._tallies = {(mark, order): _Tally() for mark in _MARKS for order in _ORDERS}
        self._no_mark: dict[DecimalMark, int] = {}
        self._no_order: dict[Order, int] = {}
        if options.decimal is not None:
            self._no_mark = {mark: 0 for mark in _MARKS if mark != options.decimal}
        self._two_ways: tuple[int, str] | None = None
        self._commas = False
        self._dated = False
        self._no_dates: tuple[int, str] | None = None
        self._two_dates: tuple[int, str] | None = None
        self._sums = Sums()
        self._held: list[_PendingRow] = []

    def read(self) -> Part:
        """What the table comes to.

        Raises:
            ConfigurationError: A row cannot be read, or can be read in two ways; the message names its line.
        """
        columns = self._columns
        if self._options.bounded and columns.start is None:
            raise ConfigurationError(
                f"{self._table.name or 'the invoice'} has no column of dates that is known, so rows outside of "
                "the period cannot be left out; leave the period out, or give the amount itself"
            )
        for line, cells in data_rows(self._table):
            self._row(line, cells)
        mark = self._mark()
        order = self._order(mark)
        tally = self._tallies[mark, order]
        part = self._part
        part.total, part.rows, part.outside, part.edges = tally.total, tally.rows, tally.outside, tally.edges
        self._check_held(mark)
        return part

    def _row(self, line: int, cells: list[str]) -> None:
        columns, part = self._columns, self._part
        where = self._table.at(line)
        cell = cells[columns.amount]
        date = "" if columns.start is None else cells[columns.start]
        spans = spans_of(date, self._zone)
        if not (spans and columns.known):  # known exports have no dated rows of sums
            label = label_of(others(cells, columns))
            if label == "payment" and cell:
                raise ConfigurationError(f"{where} is a payment into the account, not a charge; delete such rows")
            if label is not None and self._is_sum(line, cell, label, dated=bool(spans)):
                return
        if cell.casefold() in _NOTHING:
            part.blank += 1
            return
        amount = amount_of(cell)
        if amount is None:
            raise ConfigurationError(f"{where}: {cell!r} is not an amount")
        if self._is_undated(line, cells, date, spans):
            self._hold(line, amount, named=False)
            return
        self._currency(cells, amount, where)
        self._values(line, cell, amount)
        if not spans:
            self._count(amount, None)
            return
        if len(spans) < len(_ORDERS) or spans["day"].start != spans["month"].start:
            self._two_dates = self._two_dates or (line, date)
        self._count(amount, self._ended(cells, spans, line))

    def _is_undated(self, line: int, cells: list[str], date: str, spans: Mapping[Order, Span]) -> bool:
        """Whether a row has no date where others have one, or nothing but an amount: likely a sum."""
        if self._columns.start is None:
            rest = others(cells, self._columns)
            return bool(rest) and not any(rest)
        if spans:
            if self._no_dates is not None:
                raise ConfigurationError(f"{self._table.at(self._no_dates[0])}: {_NO_DATE.format(self._no_dates[1])}")
            self._dated = True
            return False
        if not date:
            return True
        if self._options.bounded:
            raise ConfigurationError(f"{self._table.at(line)}: {_NO_DATE.format(date)}")
        if not self._dated:  # what is called a date is none, in the whole table
            self._no_dates = self._no_dates or (line, date)
        return self._dated

    def _ended(self, cells: list[str], spans: Mapping[Order, Span], line: int) -> Mapping[Order, Span]:
        end = self._columns.end
        if end is not None and cells[end]:
            ends = spans_of(cells[end], self._zone)
            spans = {
                order: Span(span.start, ends[order].start)
                if order in ends and ends[order].start >= span.start
                else span
                for order, span in spans.items()
            }
        for order in _ORDERS:
            if order not in spans:
                self._no_order.setdefault(order, line)
        return spans

    def _values(self, line: int, cell: str, amount: Amount) -> None:
        """Notes which readings of the amount are left."""
        for mark in _MARKS:
            value = amount.by(mark)
            if value is None:
                self._no_mark.setdefault(mark, line)
            elif mark not in self._no_mark:
                exponent = value.normalize().as_tuple().exponent
                self._part.fine = self._part.fine or (isinstance(exponent, int) and exponent < _FINEST)
        if len(self._no_mark) == len(_MARKS):
            first = max(self._no_mark.values())
            other = min(self._no_mark.values())
            than = f"line {other}" if other else "the one that was named"
            raise ConfigurationError(f"{self._table.at(first)}: {cell!r} has another decimal mark than {than}")
        if amount.point is not None and amount.comma is not None and amount.point != amount.comma:
            self._two_ways = self._two_ways or (line, cell)
            self._commas = self._commas or "," in cell

    def _count(self, amount: Amount, spans: Mapping[Order, Span] | None) -> None:
        options = self._options
        for mark in _MARKS:
            value = amount.by(mark)
            if value is None:
                continue
            self._sums.add(mark, value)
            for order in _ORDERS:
                tally = self._tallies[mark, order]
                span = None if spans is None else spans.get(order)
                if span is None or options.covers(span.start):
                    tally.total = EXACT.add(tally.total, value)
                    tally.rows += 1
                else:
                    tally.outside += 1
                if span is not None and value and options.cuts(span.start, span.end):
                    tally.edges += 1
        both = [] if spans is None else list(spans.values())
        if both and both[0].start == both[-1].start:
            self._part.widen(both[0].start, both[0].end)

    def _currency(self, cells: list[str], amount: Amount, where: str) -> None:
        columns, part = self._columns, self._part
        named = "" if columns.currency is None else cells[columns.currency]
        claims = {
            code for code in (currency_code(named) if named else None, amount.currency, columns.fixed_currency) if code
        }
        if len(claims) > 1:
            raise ConfigurationError(f"{where} names several currencies: {', '.join(sorted(claims))}")
        currency = self._options.accept(next(iter(claims), None), where)
        if currency is None:
            raise ConfigurationError(f"{where} names no currency; say currency='USD' or 'CNY'")
        if part.currency not in (None, currency):
            raise ConfigurationError(f"{where}: the invoice mixes currencies; split it, and reconcile each apart")
        part.currency = currency
        part.assumed = part.assumed or not claims

    def _is_sum(self, line: int, cell: str, label: Label, *, dated: bool) -> bool:
        """Leaves a row out that says it is a sum, if it is one or cannot be anything else."""
        amount = amount_of(cell)
        stated = self._sums.stated_by(amount)
        if label == "may be" and not stated:
            return False
        if dated and not stated and cell:
            raise ConfigurationError(
                f"{self._table.at(line)} is called a sum, and {cell!r} is not that of the rows above it; delete the "
                "row, or rename it if it is a charge"
            )
        if amount is None:
            self._part.sums += 1
            self._sums.close()
        else:
            self._hold(line, amount, named=True)
        return True

    def _hold(self, line: int, amount: Amount, *, named: bool) -> None:
        if len(self._held) == _MOST_HELD:
            raise ConfigurationError(
                f"{self._table.at(line)} has an amount and no date, or is a sum, as are {_MOST_HELD:,} rows above it"
            )
        self._held.append(_PendingRow(line, amount, self._sums.close(), named))

    def _check_held(self, mark: DecimalMark) -> None:
        """A row that is likely a sum is left out if it is one, and refused if it may be a charge."""
        whole = self._sums.everything(mark)
        other: list[str] = []
        for row in self._held:
            value = row.amount.by(mark)
            is_sum = value is not None and (not value or states(value, (*row.sums[mark], whole)))
            if not is_sum and not row.named:
                raise ConfigurationError(
                    f"{self._table.at(row.line)} has an amount without a date, and it is no sum of the other rows; "
                    "give it a date, or delete it"
                )
            if not is_sum:
                other.append(str(row.line))
            self._part.sums += 1
        if other:
            lines = ", ".join(other[:5])
            self._part.notes.append(f"what line {lines} of the file says is the sum is not that of its rows")

    def _mark(self) -> DecimalMark:
        left: list[DecimalMark] = [mark for mark in _MARKS if mark not in self._no_mark]
        if len(left) == 1 or self._two_ways is None:
            return left[0]
        if self._table.delimiter != ";" and not self._commas:
            return "."  # a program wrote it, and programs write points
        line, cell = self._two_ways
        raise ConfigurationError(
            f"{self._table.at(line)}: {cell!r} may be thousands or decimals; say which mark stands before decimals"
        )

    def _order(self, mark: DecimalMark) -> Order:
        left: list[Order] = [order for order in _ORDERS if order not in self._no_order]
        if not left:
            lines = sorted(self._no_order.values())
            if not self._options.bounded:
                return "day"
            raise ConfigurationError(
                f"{self._table.at(lines[-1])} writes its date in another order than line {lines[0]}; write 2026-10-01"
            )
        one, other = (self._tallies[mark, order] for order in _ORDERS)
        if len(left) == 1 or self._two_dates is None or not self._options.bounded or one == other:
            return left[0]
        line, cell = self._two_dates
        raise ConfigurationError(
            f"{self._table.at(line)}: {cell!r} may begin with the day or the month; write 2026-10-01"
        )
