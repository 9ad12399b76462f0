"""The ledger against what the provider says: its balance, or its invoice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency, Money

TOLERANCE: Final = Decimal("0.01")
"""A drift above one in a hundred is flagged."""

_AMOUNT: Final = ("amount", "cost", "total_cost", "spend", "charge", "fee")
_CURRENCY: Final = ("currency", "currency_code", "unit")


class Balance(BaseModel):
    """What the provider's account held at one moment."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    amount: Money


class Reconciliation(BaseModel):
    """Both figures for one period and host."""

    model_config = ConfigDict(frozen=True)

    host: str
    since: datetime
    until: datetime
    booked: Money
    """What the ledger holds, unknown attempts at their worst case."""
    unknown: Money
    """The part of it that nobody is sure of: the provider may have billed all of it, or nothing."""
    billed: Money
    """What the provider says."""
    verdict: Literal["agrees", "explained", "drifts"]
    """`explained`: the difference lies within the attempts that are held as unknown."""

    @property
    def drift(self) -> Money:
        """`billed` less `booked`: positive when the provider billed more than the ledger knows."""
        return self.billed - self.booked

    @property
    def drift_share(self) -> Decimal | None:
        """The drift as a share of what was billed; `None` when nothing was."""
        if not self.billed:
            return None
        return (Decimal(self.drift.pico) / Decimal(self.billed.pico)).quantize(Decimal("0.0001"))


def reconcile(
    ledger: Ledger, *, host: str, since: datetime, until: datetime, billed: Money, tolerance: Decimal = TOLERANCE
) -> Reconciliation:
    """Compare the ledger's spend at `host` with what the provider billed for the same time.

    Raises:
        LedgerUnavailable: The ledger cannot be read.
    """
    rows = [
        row
        for row in ledger.spend(since=since, until=until, by=("host",))
        if row.key["host"] == host and row.total.currency == billed.currency
    ]
    booked = Money.sum((row.total for row in rows), billed.currency)
    unknown = Money.sum((row.unknown for row in rows), billed.currency)
    allowed = abs(billed.pico) * tolerance
    verdict: Literal["agrees", "explained", "drifts"]
    if abs(billed.pico - booked.pico) <= allowed:
        verdict = "agrees"
    elif booked.pico - unknown.pico - allowed <= billed.pico <= booked.pico:
        verdict = "explained"
    else:
        verdict = "drifts"
    return Reconciliation(
        host=host, since=since, until=until, booked=booked, unknown=unknown, billed=billed, verdict=verdict
    )


def reconcile_balances(
    ledger: Ledger, *, host: str, before: Balance, after: Balance, topped_up: Money | None = None
) -> Reconciliation:
    """Compare the ledger with the fall of the provider's balance between two readings.

    Args:
        ledger: Where to read.
        host: The host profile whose account it is.
        before: The earlier reading.
        after: The later one.
        topped_up: What was paid into the account in between.

    Raises:
        ConfigurationError: The readings are in the wrong order.
    """
    if after.at <= before.at:
        raise ConfigurationError("the second balance must have been read after the first")
    billed = before.amount - after.amount
    if topped_up is not None:
        billed += topped_up
    return reconcile(ledger, host=host, since=before.at, until=after.at, billed=billed)


def invoice_total(text: str, *, currency: Currency | None = None, column: str | None = None) -> Money:
    """The sum of an invoice or usage export in CSV, by its column of amounts.

    Args:
        text: The file's content, with a header.
        currency: Of the amounts, where no column says it.
        column: The column of amounts; left out, the one called amount, cost, total_cost, spend, charge or fee.

    Raises:
        ConfigurationError: There is no such column, a cell is no amount, or the currency is missing or mixed.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    amount = _column(names, (column.strip().lower(),) if column else _AMOUNT)
    if amount is None:
        known = ", ".join(names) or "none"
        raise ConfigurationError(f"the invoice has no column of amounts; name it (its columns: {known})")
    unit = _column(names, _CURRENCY)
    found: list[Money] = []
    for line, row in enumerate(reader, start=2):
        cell = (row.get(amount) or "").strip().replace(",", "").lstrip("$¥")
        if not cell:
            continue
        code = ((row.get(unit) or "").strip().upper() if unit else "") or currency
        money_of: Currency | None = "USD" if code == "USD" else "CNY" if code == "CNY" else None
        if money_of is None:
            raise ConfigurationError(f"line {line}: the currency {code!r} is unknown; say currency='USD' or 'CNY'")
        try:
            found.append(Money.of(Decimal(cell), money_of))
        except InvalidOperation:
            raise ConfigurationError(f"line {line}: {cell!r} is no amount") from None
    _one_currency(found)
    return Money.sum(found, currency or "USD")


def _column(names: dict[str, str], wanted: Iterable[str]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _one_currency(found: Sequence[Money]) -> None:
    if len({money.currency for money in found}) > 1:
        raise ConfigurationError("the invoice mixes currencies; split it, and reconcile each apart")
