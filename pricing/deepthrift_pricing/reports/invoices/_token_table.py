"""A table of numbers of tokens: priced, and never summed as money."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.usage import Usage
from deepthrift_pricing.reports.invoices._amounts import Amount, amount_of
from deepthrift_pricing.reports.invoices._cells import data_rows, others
from deepthrift_pricing.reports.invoices._columns import Columns
from deepthrift_pricing.reports.invoices._dates import Span, spans_of
from deepthrift_pricing.reports.invoices._files.table import Table
from deepthrift_pricing.reports.invoices._layouts import first_of, key_of, layouts
from deepthrift_pricing.reports.invoices._options import EXACT, Options, Part
from deepthrift_pricing.reports.invoices._token_prices import TokenPrices
from deepthrift_pricing.reports.invoices._totals import label_of

_KINDS: Final = {
    "input_cache_hit_tokens": "hit",
    "input_cache_miss_tokens": "miss",
    "output_tokens": "completion",
    "prompt_cache_hit_tokens": "hit",
    "prompt_cache_miss_tokens": "miss",
    "completion_tokens": "completion",
}
_REQUESTS: Final = frozenset(("request_count", "requests", "api_call", "api_calls"))
_TIERS: Final = {"": "standard", "default": "standard", "auto": "standard"}
_NO: Final = frozenset(("", "false", "0", "no"))


class TokenTable:
    """Reads one table."""

    def __init__(self, table: Table, columns: Columns, options: Options) -> None:
        self._table = table
        self._columns = columns
        self._options = options
        self._where = table.name or "the invoice"
        self._zone = UTC if columns.known else options.zone
        self._names = {key_of(cell): place for place, cell in reversed(list(enumerate(table.header)))}
        self._prices = TokenPrices(options.host or columns.host, options)
        self._part = Part(table.name, columns.layout, exclusive=columns.exclusive)
        self._types: set[str] = set()

    def read(self) -> Part:
        """What the tokens cost.

        Raises:
            ConfigurationError: A row cannot be read, or there is no one price for its tokens; the message names it.
        """
        part = self._part
        if self._options.bounded and self._columns.start is None:
            raise ConfigurationError(
                f"{self._where} has no column of dates that is known, so rows outside of the period cannot be left out"
            )
        for line, cells in data_rows(self._table):
            where = self._table.at(line)
            if label_of(others(cells, self._columns)) == "is":
                part.sums += 1
                continue
            span = self._span(cells, where)
            if span is not None:
                part.widen(span.start, span.end)
                part.edges += self._options.cuts(span.start, span.end)
                if not self._options.covers(span.start):
                    part.outside += 1
                    continue
            cost = (self._long if self._columns.tokens == "long" else self._wide)(cells, span, where)
            if cost is not None:
                part.rows += 1
                part.total = EXACT.add(part.total, cost)
        if {"input_tokens", "input_cache_miss_tokens"} <= self._types:
            raise ConfigurationError(f"{self._where} has prices for input_tokens and for its parts; delete one of them")
        if part.rows:
            remark = self._prices.settle(self._where)
            part.notes += [remark] if remark else []
        part.currency = self._prices.currency
        part.notes.append(f"{self._where} holds numbers of tokens, which were priced")
        return part

    def _span(self, cells: list[str], where: str) -> Span | None:
        start, end = self._columns.start, self._columns.end
        if start is None:
            return None
        if not cells[start]:
            raise ConfigurationError(f"{where} has no date; give it one, or delete it if it is a sum")
        spans = spans_of(cells[start], self._zone)
        span = spans.get("day")
        if span is None or spans.get("month") != span:
            raise ConfigurationError(f"{where}: {cells[start]!r} is not a date that can be read; write 2026-10-01")
        stop = spans_of(cells[end], self._zone).get("day") if end is not None and cells[end] else None
        return Span(span.start, stop.start) if stop is not None and stop.start >= span.start else span

    def _long(self, cells: list[str], span: Span | None, where: str) -> Decimal | None:
        """The cost of one type of tokens. DeepSeek writes the price next to it."""
        kind = key_of(cells[self._names["type"]])
        model, shown = (cells[self._names[name]] for name in ("model", "price"))
        count = self._count(cells[self._columns.amount], where)
        if not count or (not shown and kind in _REQUESTS):
            return None
        if not shown:
            usage = {
                "hit": Usage.of(count, 0, cache_hit=count),
                "miss": Usage.of(count, 0),
                "completion": Usage.of(0, count),
            }.get(_KINDS.get(kind, ""))
            if usage is None:
                raise ConfigurationError(f"{where}: {kind!r} has no price")
            return self._prices.cost(usage, model, "standard", span, where)
        price = _either(amount_of(shown))
        if price is None or price < 0:
            raise ConfigurationError(f"{where}: {shown!r} is not a price")
        self._types.add(kind)
        self._prices.note(model, _KINDS.get(kind), price)
        return EXACT.multiply(price, Decimal(count))

    def _wide(self, cells: list[str], span: Span | None, where: str) -> Decimal | None:
        """The cost of a row with the tokens of prompts and completions."""
        general = layouts().general
        prompt, completion, cached, model = (
            first_of(self._names, wanted)
            for wanted in (general.prompt, general.completion, general.cached, general.model)
        )
        if prompt is None or completion is None:
            raise ConfigurationError(f"{self._where} has tokens, but not those of prompts and completions")
        for name, place in self._names.items():
            if ("audio" in name or "image" in name) and "token" in name and self._count(cells[place], where):
                raise ConfigurationError(f"{where}: {name} are not text, and their price is not known here")
        tokens, answers = self._count(cells[prompt], where), self._count(cells[completion], where)
        hits = 0 if cached is None else self._count(cells[cached], where)
        if not tokens and not answers:
            return None
        if hits > tokens:
            raise ConfigurationError(f"{where}: {hits:,} cached tokens are more than the {tokens:,} of the prompt")
        if model is None or not cells[model]:
            raise ConfigurationError(f"{where} has numbers of tokens and no model; group the export by model")
        return self._prices.cost(
            Usage.of(tokens, answers, cache_hit=hits), cells[model], self._tier(cells), span, where
        )

    def _tier(self, cells: list[str]) -> str:
        batch, tier = self._names.get("batch"), self._names.get("service_tier")
        if batch is not None and cells[batch].lower() not in _NO:
            return "batch"
        name = "" if tier is None else cells[tier].lower()
        return _TIERS.get(name, name)

    def _count(self, cell: str, where: str) -> int:
        amount = amount_of(cell) if cell else Amount(Decimal(0), None, None)
        values = () if amount is None or amount.currency else (amount.point, amount.comma)
        whole = {int(value) for value in values if value is not None and value >= 0 and value == int(value)}
        if len(whole) != 1:
            raise ConfigurationError(f"{where}: {cell!r} is not a number of tokens")
        return whole.pop()


def _either(amount: Amount | None) -> Decimal | None:
    if amount is None:
        return None
    return amount.comma if amount.point is None else amount.point
