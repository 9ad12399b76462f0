"""What every attempt passes on its way to an endpoint: its circuit, then its places."""

from __future__ import annotations

import math

from deepthrift._admission.breaker import Circuit, CircuitBreaker
from deepthrift._admission.clock import Clock
from deepthrift._admission.limiter import Limiter
from deepthrift._types.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    EmptyResponse,
    InsufficientBalance,
    RateLimited,
    ServerError,
    StatusError,
    StreamInterrupted,
)

_PROVIDER_FAILED = (AttemptTimeout, EmptyResponse, ServerError, StreamInterrupted)


class Admission:
    """The circuit and the places of one endpoint."""

    def __init__(self, breaker: CircuitBreaker | None, max_concurrency: int | None, host: str) -> None:
        self.circuit = Circuit(breaker, host)
        self.limiter = Limiter(max_concurrency)
        self._host = host

    @property
    def pause_left(self) -> float:
        """Seconds until an attempt could go out, places aside."""
        return max(self.circuit.pause_left, self.limiter.pause_left)

    async def enter(self, clock: Clock) -> Permit:
        """Wait for a place, within the deadline.

        Raises:
            CircuitOpen: The endpoint is left alone; nothing was sent.
            DeadlineExceeded: No place came in time; nothing was sent.
        """
        self.circuit.check()
        if not self.limiter.enter_now():
            await self._wait(clock)
        try:
            return Permit(self, self.circuit.admit())
        except BaseException:
            self.limiter.leave()
            raise

    async def _wait(self, clock: Clock) -> None:
        pause = self.limiter.pause_left
        if pause >= clock.left:
            raise DeadlineExceeded(
                f"nothing was sent: {self._host} asked to wait another {pause:.0f} s, which is beyond the deadline of "
                f"{clock.deadline:g} s"
            )
        try:
            async with clock.limit():
                await self.limiter.enter()
        except TimeoutError:
            raise clock.timed_out(math.inf) from None


class Permit:
    """An attempt's place; given back once, with what the attempt told about the endpoint."""

    __slots__ = ("_admission", "_admitted", "_cuts", "_losses")

    def __init__(self, admission: Admission, admitted: int) -> None:
        self._admission: Admission | None = admission
        self._admitted = admitted
        self._cuts = admission.limiter.cuts
        self._losses = admission.circuit.losses

    def answered(self) -> None:
        """The endpoint has begun to answer."""
        if self._admission is not None:
            self._admission.circuit.answered(self._admitted)

    def leave(self, error: BaseException | None, *, came_through: bool = False) -> None:
        """The attempt is over: it came through, `error` ended it, or, with neither, the caller did."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        circuit, limiter = admission.circuit, admission.limiter
        if came_through:
            circuit.succeeded(self._admitted)
            limiter.succeeded()
        elif isinstance(error, InsufficientBalance):
            circuit.ran_out_of_balance(error)
        elif isinstance(error, RateLimited):
            circuit.let_go(self._admitted)
            limiter.refused(self._cuts, error.retry_after)
        elif isinstance(error, ConnectionFailed):
            circuit.lost(self._admitted, self._losses, error)
        elif isinstance(error, _PROVIDER_FAILED):
            circuit.failed(self._admitted, error)
            if isinstance(error, ServerError):
                limiter.pause(error.retry_after)
        elif isinstance(error, StatusError):
            circuit.succeeded(self._admitted)  # it refused this request, and would have answered another one
        else:
            circuit.let_go(self._admitted)
        limiter.leave()
