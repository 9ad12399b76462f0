"""How attempts end, given their state in the store when that is written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from deepthrift_pricing._ledger.counts.refusals import check_end
from deepthrift_pricing._ledger.rows.records import Outcome, held
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY, Attempt, Identity
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import CurrencyMismatch
from deepthrift_pricing._values.usage import Usage
from deepthrift_pricing._values.window import micros

Decide: TypeAlias = Callable[[Attempt], Outcome | None]
"""How an attempt ends, given its state; `None` leaves it as it is."""

_LOG: Final = logging.getLogger("deepthrift.budget")


def settled(
    usage: Usage | None,
    cost: Cost,
    ended_at: datetime,
    *,
    finish_reason: str | None = None,
    http_status: int | None = None,
    error: str | None = None,
    identity: Identity = UNKNOWN_IDENTITY,
    service_tier: str | None = None,
) -> Decide:
    """It cost so much. One that was held as unknown, or released too early, is settled all the same.

    Raises:
        ConfigurationError: The cost, or the usage, is more than a ledger can hold.
    """
    check_end(usage, cost)

    def decide(attempt: Attempt) -> Outcome | None:
        if attempt.status == "settled":
            return None
        reserved = attempt.reserved
        if cost.currency != reserved.currency:
            raise CurrencyMismatch(
                f"the attempt {attempt.id!r} was reserved in {reserved.currency} and cannot be settled in "
                f"{cost.currency}"
            )
        at = micros(ended_at)
        return Outcome(
            "settled", at, cost, usage, finish_reason, http_status, error, identity, service_tier=service_tier
        )

    return decide


def released(
    ended_at: datetime, *, finish_reason: str | None = None, http_status: int | None = None, error: str | None = None
) -> Decide:
    """It is known not to be billed."""

    def decide(attempt: Attempt) -> Outcome | None:
        if attempt.status in ("settled", "released"):
            return None
        nothing = Cost.zero(attempt.reserved.currency)
        return Outcome("released", micros(ended_at), nothing, None, finish_reason, http_status, error)

    return decide


def unknown(
    ended_at: datetime,
    *,
    usage: Usage | None = None,
    finish_reason: str | None = None,
    http_status: int | None = None,
    error: str | None = None,
) -> Decide:
    """Nobody knows whether it's billed, so it stays at its worst case."""

    def decide(attempt: Attempt) -> Outcome | None:
        if attempt.status != "reserved":
            return None
        cost = held(attempt.reserved, attempt.cost.price_ids)
        return Outcome("unknown", micros(ended_at), cost, usage, finish_reason, http_status, error)

    return decide


def lost(attempt: Attempt) -> Outcome | None:
    """Its lease is over."""
    if attempt.status != "reserved":
        return None
    cost = held(attempt.reserved, attempt.cost.price_ids)
    return Outcome("unknown", None, cost, None, None, None, "LeaseExpired")


def warn_above_reservation(attempt: Attempt) -> None:
    """Logs a cost above the reservation, once it's booked."""
    if attempt.status == "settled" and attempt.cost.total > attempt.reserved:
        _LOG.warning(
            "attempt %s cost %s, more than the %s it reserved", attempt.id, attempt.cost.total, attempt.reserved
        )
