"""The errors that concern money: prices, budgets and the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from deepthrift_pricing._values.money import (
    CallDetails,
    ConfigurationError,
    CurrencyMismatch,
    DeepthriftError,
    InvalidRequestError,
    PricingError,
    RequestInfo,
)

if TYPE_CHECKING:
    from deepthrift_pricing._values.budget import BudgetStatus
    from deepthrift_pricing._values.money import Money

__all__ = [
    "BudgetExceeded",
    "CallDetails",
    "ConfigurationError",
    "ContextLengthExceeded",
    "CurrencyMismatch",
    "DeepthriftError",
    "InvalidRequestError",
    "LedgerClosed",
    "LedgerError",
    "LedgerUnavailable",
    "PriceDataError",
    "PriceNotFound",
    "PricingError",
    "RequestInfo",
    "UnknownReservation",
]


class ContextLengthExceeded(InvalidRequestError):
    """The prompt, or the prompt and `max_tokens` together, do not fit the model's context."""


class PriceNotFound(PricingError, LookupError):
    """No price row fits this host, model, mode and moment. A missing price is never taken for zero."""


class PriceDataError(PricingError, ValueError):
    """A price row or price file is invalid."""


class BudgetExceeded(DeepthriftError):
    """The worst case of the call does not fit a budget. Nothing was sent.

    Attributes:
        status: The budget that refused, with its limit, spend and open reservations.
        needed: The worst-case cost that had to be reserved.
    """

    def __init__(
        self,
        message: str,
        *,
        status: BudgetStatus | None = None,
        needed: Money | None = None,
        **details: Unpack[CallDetails],
    ) -> None:
        super().__init__(message, **details)
        self.status = status
        self.needed = needed


class LedgerError(DeepthriftError):
    """The ledger could not do what was asked."""


class LedgerUnavailable(LedgerError):
    """The ledger's store cannot be read or written now: a full disk, a lock held too long, a lost connection.

    Attributes:
        passing: Whether it's likely to be over soon without anybody's help: a lock, or a lost connection.
    """

    passing: bool = False


class LedgerClosed(LedgerError):
    """The ledger was used after `close()`."""


class UnknownReservation(LedgerError):
    """A settle or release names an attempt that was never reserved in this ledger."""
