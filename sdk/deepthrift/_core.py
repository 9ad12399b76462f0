"""What every call of one client shares."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from deepthrift._clock import Clock
from deepthrift._endpoint import Endpoint
from deepthrift._options import Options
from deepthrift.errors import InsufficientBalance
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Ledger, PrefixTracker, PriceBook

if TYPE_CHECKING:
    from deepthrift.middleware import Middleware

_BALANCE_PAUSE: Final = 60.0
"""Seconds for which no call is sent after a 402: it could only be refused again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user set on the client; times in seconds."""

    timeout: float
    idle_timeout: float
    deadline: float | None
    max_retries: int
    retry_unanswered: bool
    budget_wait: float | None
    on_mode_mismatch: Literal["warn", "raise"]
    tags: Mapping[str, str]
    extra_body: Mapping[str, object]
    middleware: tuple[Middleware, ...] = ()


class Core:
    """An endpoint with its profile, prices and ledger."""

    def __init__(
        self,
        endpoint: Endpoint,
        profile: HostProfile,
        model: str,
        prices: PriceBook,
        currency: Currency,
        ledger: Ledger,
        settings: Settings,
        key: str | None,
        prefixes: PrefixTracker,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.model = model
        self.prices = prices
        self.currency: Currency = currency
        self.ledger = ledger
        self.settings = settings
        self.key = key
        self.prefixes = prefixes
        self._broke: tuple[float, InsufficientBalance] | None = None

    def clock(self, options: Options) -> Clock:
        """The clock of a call that begins now."""
        settings = self.settings
        return Clock(
            timeout=settings.timeout if options.timeout is None else options.timeout,
            idle_timeout=settings.idle_timeout if options.idle_timeout is None else options.idle_timeout,
            deadline=settings.deadline if options.deadline is None else options.deadline,
        )

    def ran_out_of_balance(self, error: InsufficientBalance) -> None:
        """The provider answered 402: send nothing for a while."""
        self._broke = (time.monotonic() + _BALANCE_PAUSE, error)

    def check_balance(self) -> None:
        """Nothing, unless a 402 is still fresh.

        Raises:
            InsufficientBalance: It is; nothing was sent.
        """
        if self._broke is None:
            return
        until, error = self._broke
        left = until - time.monotonic()
        if left <= 0:
            self._broke = None
            return
        raise InsufficientBalance(
            f"nothing was sent: {self.profile.name} said a moment ago that the balance is used up. "
            f"Top it up; calls go out again in {left:.0f} s, or with a new client",
            status=error.status,
            body=error.body,
            trace_id=error.trace_id,
        )
