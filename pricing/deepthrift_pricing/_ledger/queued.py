"""Bookings for code that must not wait for a store: an event loop's, and finalizers'."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from deepthrift_pricing._ledger.outcomes import Decide, released, settled, unknown
from deepthrift_pricing._ledger.queue.booking_queue import unavailable
from deepthrift_pricing._ledger.queue.jobs import Job
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY, Attempt, AttemptRequest, Identity
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.usage import Usage


class Booking:
    """The end of an attempt on its way into the store. It's written as soon as the store can be, also on close."""

    __slots__ = ("_job", "attempt")

    def __init__(self, attempt: Attempt, job: Job[Attempt]) -> None:
        """`attempt` as it ends, which `job` writes."""
        self.attempt = attempt
        """The attempt as it ends."""
        self._job = job

    @property
    def written(self) -> bool:
        """Whether it's in the store."""
        return self._job.done and self._job.error is None

    async def wait(self, seconds: float) -> None:
        """Waits until it's in the store. Cancelling the wait changes nothing about the booking.

        Raises:
            LedgerUnavailable: It isn't written after so many seconds; the ledger keeps trying.
            LedgerError: It can't be written: the attempt is unknown, or the ledger was closed.
        """
        if self._job.done or await self._job.wait_async(seconds):
            self._job.result()
            return
        raise self._job.failure or unavailable(max(0.0, seconds))


class QueuedBookings:
    """`settle`, `release`, `hold_unknown` and `book_unsent` of a ledger, without waiting for the store.

    Each is in the ledger's queue when it returns, so no cancellation can come between, and every later use of the same
    ledger sees it. `await booking.wait(seconds)` waits until it's in the store, too.
    """

    def __init__(
        self,
        end: Callable[[Attempt, Decide], Booking],
        book_unsent: Callable[[AttemptRequest, Decide], Booking],
    ) -> None:
        """Bookings that `end` and `book_unsent` put into the queue."""
        self._end = end
        self._unsent = book_unsent

    def settle(
        self,
        attempt: Attempt,
        *,
        usage: Usage | None,
        cost: Cost,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
        identity: Identity = UNKNOWN_IDENTITY,
        service_tier: str | None = None,
    ) -> Booking:
        """As `Ledger.settle`, given the attempt as it was reserved.

        Raises:
            ConfigurationError: The cost, or the usage, is more than a ledger can hold; the reservation stands.
            CurrencyMismatch: The cost is in another currency than the reservation.
            LedgerClosed: The ledger is closed.
        """
        decide = settled(
            usage,
            cost,
            ended_at,
            finish_reason=finish_reason,
            http_status=http_status,
            error=error,
            identity=identity,
            service_tier=service_tier,
        )
        return self._end(attempt, decide)

    def release(
        self,
        attempt: Attempt,
        *,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Booking:
        """As `Ledger.release`, given the attempt as it was reserved.

        Raises:
            LedgerClosed: The ledger is closed.
        """
        return self._end(attempt, released(ended_at, finish_reason=finish_reason, http_status=http_status, error=error))

    def hold_unknown(
        self,
        attempt: Attempt,
        *,
        ended_at: datetime,
        usage: Usage | None = None,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Booking:
        """As `Ledger.hold_unknown`, given the attempt as it was reserved.

        Raises:
            LedgerClosed: The ledger is closed.
        """
        return self._end(
            attempt,
            unknown(ended_at, usage=usage, finish_reason=finish_reason, http_status=http_status, error=error),
        )

    def book_unsent(
        self,
        request: AttemptRequest,
        *,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Booking:
        """As `Ledger.book_unsent`.

        Raises:
            ConfigurationError: Its worst case, or its tokens, are more than a ledger can hold.
            LedgerClosed: The ledger is closed.
        """
        return self._unsent(
            request, released(ended_at, finish_reason=finish_reason, http_status=http_status, error=error)
        )


async def all_written(bookings: list[Booking], seconds: float) -> list[tuple[Booking, Exception]]:
    """Waits until all of `bookings` are in the store, or for so many seconds; returns those that aren't, and why."""
    end = time.monotonic() + seconds
    failed: list[tuple[Booking, Exception]] = []
    for booking in bookings:
        try:
            await booking.wait(end - time.monotonic())
        except Exception as error:
            failed.append((booking, error))
    return failed
