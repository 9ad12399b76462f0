"""The root of the one error tree, and the part of it that concerns money.

```
DeepthriftError
├── ConfigurationError            a setting is wrong; nothing was sent            (also ValueError)
├── InvalidRequestError           a request is wrong; nothing was sent            (also ValueError)
│   └── ContextLengthExceeded     the prompt does not fit the model's context
├── PricingError
│   ├── PriceNotFound             no price for this host, model, mode and moment  (also LookupError)
│   ├── PriceDataError            a price file or row is invalid                  (also ValueError)
│   └── CurrencyMismatch          two currencies met without a rate
├── BudgetExceeded                the worst case of the call does not fit a budget
├── LedgerError
│   ├── LedgerUnavailable         the store cannot be written (full disk, lock, lost connection)
│   ├── LedgerClosed              the ledger was used after close()
│   └── UnknownReservation        settle or release of an attempt that was never reserved
└── … the SDK's own, see `deepthrift.errors`
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from deepthrift_pricing._budget import BudgetStatus
    from deepthrift_pricing._money import Money

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


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a failed call asked for, without its content and without secrets."""

    host: str
    url: str
    model: str
    mode: str
    messages: int
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    call_id: str = ""


class CallDetails(TypedDict, total=False):
    """What every error takes by keyword about the call that was under way; see `DeepthriftError`."""

    request: RequestInfo | None
    attempt_ids: tuple[str, ...]
    spend: Money | None


class DeepthriftError(Exception):
    """Base of every error that Deepthrift raises on purpose.

    Attributes:
        message: What happened and what to do next, in one or two sentences.
        request: What was asked for, if a call was under way.
        attempt_ids: The attempts made so far, in order; each is a row of the ledger.
        spend: What those attempts cost, as far as is known, or `None` when nothing was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        request: RequestInfo | None = None,
        attempt_ids: tuple[str, ...] = (),
        spend: Money | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.attempt_ids = attempt_ids
        self.spend = spend

    def __str__(self) -> str:
        return self.message


class ConfigurationError(DeepthriftError, ValueError):
    """A setting is wrong or missing. Nothing was sent."""


class InvalidRequestError(DeepthriftError, ValueError):
    """The request cannot be sent as it is. Nothing was sent, nothing was spent."""


class ContextLengthExceeded(InvalidRequestError):
    """The prompt, or the prompt and `max_tokens` together, do not fit the model's context."""


class PricingError(DeepthriftError):
    """A cost could not be worked out."""


class PriceNotFound(PricingError, LookupError):
    """No price row fits this host, model, mode and moment. A missing price is never taken for zero."""


class PriceDataError(PricingError, ValueError):
    """A price row or price file is invalid."""


class CurrencyMismatch(PricingError):
    """Amounts in two currencies were combined, and no dated rate was given."""


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
