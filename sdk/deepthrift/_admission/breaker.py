"""A circuit breaker: a provider that keeps failing, or that wants to be paid, is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from deepthrift._types.errors import (
    APIError,
    BalanceExhausted,
    CircuitOpen,
    ConfigurationError,
    DeepthriftError,
    InsufficientBalance,
    StatusError,
)

CircuitState: TypeAlias = Literal["closed", "open", "half-open"]
"""`closed`: calls go out. `open`: none does. `half-open`: one is tried, and decides."""

_LONGEST_PAUSE: Final = 300.0
"""Seconds: a `Retry-After` beyond it is not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """When an endpoint is left alone, and for how long.

    What counts is a failure of the provider: no connection, a 5xx, an attempt that took longer than the client's
    `timeout`, a stream that broke, a blank answer. Cancelled calls, deadlines, 4xx and refused budgets do not, and
    connections that are lost at once count once. An empty account opens the circuit at once.

    Attributes:
        failures: Failed attempts in a row after which the circuit opens.
        pause: Seconds until one call is tried; longer where the endpoint said so in `Retry-After`.
        balance_pause: The same after an empty account.

    Raises:
        ConfigurationError: A number is not above 0.
    """

    failures: int = 5
    pause: float = 30.0
    balance_pause: float = 60.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.failures < 1 or not self.pause > 0 or not self.balance_pause > 0:
            raise ConfigurationError("the numbers of a CircuitBreaker are above 0; None in its place switches it off")


class Circuit:
    """The circuit of one endpoint. Sends nothing itself; every method is immediate."""

    def __init__(
        self, settings: CircuitBreaker | None, host: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings or CircuitBreaker()
        self._counts = settings is not None
        self._host = host
        self._now = now
        self._failures = 0
        self._until: float | None = None
        self._probing = False
        self._reason: DeepthriftError | None = None
        self._era = 0
        self._losses = 0

    @property
    def state(self) -> CircuitState:
        """Whether calls go out now."""
        if self._until is None:
            return "closed"
        return "open" if self._now() < self._until else "half-open"

    @property
    def failures(self) -> int:
        """Failures in a row so far."""
        return self._failures

    @property
    def losses(self) -> int:
        """How often connections were lost; an attempt keeps the number with which it began."""
        return self._losses

    @property
    def pause_left(self) -> float:
        """Seconds until a call is tried again; 0 when one would be now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._now())

    def check(self) -> None:
        """Nothing, if an attempt could go out now.

        Raises:
            CircuitOpen: None can.
        """
        if self._until is not None and (self._probing or self._now() < self._until):
            raise self._refusal()

    def admit(self) -> int:
        """Let an attempt out; what it returns is given back with its end.

        Raises:
            CircuitOpen: It may not go out.
        """
        self.check()
        self._probing = self._until is not None
        return self._era

    def succeeded(self, admitted: int) -> None:
        """An attempt showed that the endpoint works. One from before the circuit opened shows nothing."""
        if admitted == self._era:
            self._failures = 0
            self._until = self._reason = None
            self._probing = False

    def answered(self, admitted: int) -> None:
        """An attempt has begun to be answered: others need not wait for its end, which alone forgives failures."""
        if admitted == self._era:
            self._until = None
            self._probing = False

    def failed(self, admitted: int, error: DeepthriftError) -> None:
        """The provider failed an attempt."""
        if admitted != self._era or not self._counts:
            return self.let_go(admitted)
        self._failures += 1
        if self._probing or self._failures >= self._settings.failures:
            pause = error.retry_after if isinstance(error, StatusError) and error.retry_after is not None else 0.0
            self._open(max(self._settings.pause, min(pause, _LONGEST_PAUSE)), error)
        return None

    def lost(self, admitted: int, losses: int, error: DeepthriftError) -> None:
        """The connection of an attempt that began after so many losses: what one cut takes down at once counts once."""
        if losses != self._losses:
            return self.let_go(admitted)
        self._losses += 1
        return self.failed(admitted, error)

    def ran_out_of_balance(self, error: InsufficientBalance) -> None:
        """The endpoint answered 402: the next call could only be refused again."""
        self._open(self._settings.balance_pause, error)

    def let_go(self, admitted: int) -> None:
        """An attempt ended without telling anything about the endpoint."""
        if admitted == self._era:
            self._probing = False

    def _open(self, seconds: float, reason: DeepthriftError) -> None:
        self._until = self._now() + seconds
        self._reason = reason
        self._probing = False
        self._era += 1

    def _refusal(self) -> APIError:
        left, reason = self.pause_left, self._reason
        when = f"in {left:.0f} s" if left > 0 else "when the one that is being tried has come through"
        if isinstance(reason, InsufficientBalance):
            of = "" if reason.balance is None else f" ({reason.balance})"
            return BalanceExhausted(
                f"nothing was sent: {self._host} said a moment ago that the balance is used up{of}. "
                f"Top it up; calls go out again {when}, or with a new client",
                status=reason.status,
                body=reason.body,
                retry_after=left,
                trace_id=reason.trace_id,
                balance=reason.balance,
            )
        cause = "" if reason is None else f"; the last time: {reason.message}"
        return CircuitOpen(
            f"nothing was sent: {self._host} failed {self._failures} times in a row; calls go out again {when}{cause}",
            retry_after=left,
        )
