"""The ledger against what the provider says: its balance, or its invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Money

TOLERANCE: Final = Decimal("0.01")
"""A drift above one in a hundred is flagged."""


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
