"""What tokens cost that an export counts, by its own prices or those of a price book."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import ConfigurationError, PriceNotFound
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing._values.usage import Mode, Usage
from deepthrift_pricing.reports.invoices._dates import Span
from deepthrift_pricing.reports.invoices._options import Options

_MODES: Final[tuple[Mode, ...]] = ("standard", "thinking")
_CURRENCIES: Final[tuple[Currency, ...]] = ("USD", "CNY")
_HOUR: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=32)


class TokenPrices:
    """The prices at one host, and the currency that they are in."""

    def __init__(self, host: str | None, options: Options) -> None:
        self._host = host
        self._options = options
        self._book = options.prices or PriceBook.builtin()
        self._matches: set[Currency] = set()
        self.currency: Currency | None = options.currency
        """That of the amounts, once it is known."""

    def cost(self, usage: Usage, model: str, tier: str, span: Span | None, where: str) -> Decimal:
        """The cost of tokens at the one price that holds over a span.

        Raises:
            ConfigurationError: There is no such price, or there are several.
        """
        if self._host is None:
            raise ConfigurationError(f"{where} has numbers of tokens; name the host whose prices hold for them")
        if span is None:
            raise ConfigurationError(f"{where} has numbers of tokens and no date, so no price is certain")
        if span.end - span.start > _LONGEST:
            raise ConfigurationError(f"{where} covers more than a month, in which prices change; export days")
        costs: dict[Currency, Decimal] = {}
        for currency in _CURRENCIES if self.currency is None else (self.currency,):
            cost = self._at_one_price(usage, model, tier, span, currency, where)
            if cost is not None:
                costs[currency] = cost
        if not costs:
            raise ConfigurationError(
                f"{where} has numbers of tokens, and {model!r} at {self._host!r} has no price then; give "
                "prices of your own, or use the export of costs"
            )
        if len(costs) > 1:
            raise ConfigurationError(f"{where} has numbers of tokens, with prices in USD and CNY; say which is wanted")
        [(self.currency, cost)] = costs.items()
        return cost

    def note(self, model: str, kind: str | None, price: Decimal) -> None:
        """Compares a price that the export itself names, for a `hit`, a `miss` or a `completion`, with the price book.

        DeepSeek's export does not say its currency, and its prices do.
        """
        if kind is None or price == 0:
            return
        for row in self._book.rows:
            if row.host == self._host and model.lower() in row.models and _amount(row, kind) == price * 10**6:
                self._matches.add(row.currency)

    def settle(self, where: str) -> str | None:
        """Settles the currency of prices that the export itself names; what a reader should know of it.

        Raises:
            ConfigurationError: It is not known, or not the one that is wanted.
        """
        if self.currency is None:
            if len(self._matches) != 1:
                raise ConfigurationError(f"{where} names no currency; say currency='USD' or 'CNY'")
            [self.currency] = self._matches
            return f"its prices are those in {self.currency}"
        if self._matches and self.currency not in self._matches:
            [other] = self._matches
            raise ConfigurationError(
                f"{where} has the prices in {other}, and {self.currency} is wanted: amounts are never converted; "
                f"compare with spend in {other}"
            )
        return None

    def _at_one_price(
        self, usage: Usage, model: str, tier: str, span: Span, currency: Currency, where: str
    ) -> Decimal | None:
        totals: set[Decimal] = set()
        at: datetime = span.start
        while True:
            for mode in _MODES:
                try:
                    row = self._book.find(
                        host=self._host or "", model=model, mode=mode, at=at, currency=currency, tier=tier
                    )
                except PriceNotFound:
                    return None
                totals.add(row.cost(usage).total.amount)
            at += _HOUR
            if at >= span.end:
                break
        if len(totals) > 1:
            raise ConfigurationError(
                f"{where} has numbers of tokens of a time in which {model!r} had several prices; use the export of "
                "costs"
            )
        return totals.pop()


def _amount(row: Price, kind: str) -> Decimal:
    if kind == "completion":
        return row.completion
    return row.cache_miss if kind == "miss" or row.cache_hit is None else row.cache_hit
