"""The writing side of the ledger: reserve before the request; how it ends is in `_ledger_endings`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias, cast

from deepthrift_pricing._ledger.counts.counters import Counter, Counts, NewScopes, Refusal, add_counts
from deepthrift_pricing._ledger.counts.refusals import (
    NoRoom,
    can_wait,
    check_request,
    count_refusals,
    no_room,
    shortage,
)
from deepthrift_pricing._ledger.endings import LedgerEndings
from deepthrift_pricing._ledger.outcomes import released
from deepthrift_pricing._ledger.queue.jobs import Job
from deepthrift_pricing._ledger.rows.records import (
    INSERT,
    SELECT,
    attempt_of,
    reservation,
    reserved_attempt,
)
from deepthrift_pricing._ledger.waiters import Waiter
from deepthrift_pricing._store.protocol import Store, Transaction
from deepthrift_pricing._values.attempt import Attempt, AttemptRequest
from deepthrift_pricing._values.budget import MOST_PICO, Budget, BudgetStatus, Policy
from deepthrift_pricing._values.errors import (
    ConfigurationError,
    LedgerError,
    UnknownReservation,
)
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.window import moment

Refit: TypeAlias = Callable[[AttemptRequest, Money, Policy], AttemptRequest | None]
"""Makes a request smaller, as a policy of `clamp` or `downgrade` asks, given the room left; `None` when it cannot.

What it returns is checked against the budgets that it then falls under, and it is asked again while it does not fit: so
`downgrade` may change the mode first, and shorten only when that was not enough. It is called inside the ledger's
transaction, in any thread, so it has to be quick and must not use the ledger."""

_LOG: Final = logging.getLogger("deepthrift.budget")
_AT_HAND: Final = 10_000
"""Reservations of this process that are kept in memory beside the store."""
_REFITS: Final = 4
"""A request that was refitted may fall under other budgets, and be refitted again, this often."""


class LedgerBookings(LedgerEndings):
    """What can be booked in a ledger."""

    def __init__(
        self, store: Store, budgets: Iterable[Budget], clock: Callable[[], datetime], url: str, lease: float
    ) -> None:
        if not lease > 0:
            raise ConfigurationError(f"a lease lasts longer than {lease!r} s; give the seconds a request may take")
        super().__init__(store, budgets, clock, url)
        self._lease = timedelta(seconds=lease) // timedelta(microseconds=1)
        self._writing.run(Job(lambda db: self._counters.register(db, self._now())))
        self.sweep()

    def try_reserve(self, request: AttemptRequest, *, refit: Refit | None = None) -> Attempt:
        """Reserves the worst case against every budget in scope at once, or against none.

        The reservation is in the store when this returns. The attempt starts now, and this moment chooses its windows.
        A second reservation of the same attempt returns the first.

        Args:
            request: What is to be reserved.
            refit: Makes it smaller where a budget's policy is to clamp or downgrade; without it, they refuse.

        Raises:
            BudgetExceeded: A budget has no room; nothing is reserved.
            CurrencyMismatch: A budget in scope is in the other currency.
            LedgerUnavailable: The store cannot be written; nothing is reserved.
        """
        return cast("Attempt", self._writing.run(self._reservation(request, refit)))

    def _reservation(
        self,
        request: AttemptRequest,
        refit: Refit | None,
        *,
        until: float = 0.0,
        waiter: Waiter | None = None,
        waits: bool = False,
    ) -> Job[Attempt | None]:
        """The job that reserves, or comes to `None` because others wait for the same budget.

        A `waiter` that finds no room joins the queue before any later job is looked at. A caller that `waits` isn't
        refused, and so not counted, while room can still come free.
        """
        check_request(request)
        told: tuple[AttemptRequest, list[BudgetStatus]] | None = None

        def work(db: Transaction) -> Attempt | None:
            nonlocal told
            if waiter is not None and self._queue and self._queue.blocked(needs := self._needs(request), waiter):
                waiter.budgets = needs
                self._queue.join(waiter)
                return None
            try:
                fitting, attempt, warned = self._reserve(db, request, refit, waits=waits)
            except NoRoom as error:
                if waiter is not None and error.can_wait:
                    waiter.budgets = error.counters
                    self._queue.join(waiter)
                raise
            told = fitting, warned
            return attempt

        def after(attempt: Attempt | None) -> None:
            if told is not None and attempt is not None:
                for status in told[1]:
                    _LOG.warning("over budget: %s", shortage(told[0], status))
                self._remember(attempt)

        return Job(work, after=after, orphan=lambda: self._take_back(request.attempt_id), until=until)

    def _needs(self, request: AttemptRequest) -> frozenset[int]:
        """The counts with a limit that the request would be held to."""
        attempt = reserved_attempt(request, 0)
        return frozenset(counter.id for counter, _ in self._counters.covering(attempt) if counter.limits)

    def _reserve(
        self, db: Transaction, request: AttemptRequest, refit: Refit | None, *, waits: bool
    ) -> tuple[AttemptRequest, Attempt, list[BudgetStatus]]:
        now = self._now()
        self._identities.load(db, request)
        try:
            fitted = self._fit(db, request, refit, now)
        except NewScopes:
            self._refresh(db)
            fitted = self._fit(db, request, refit, now)
        fitting, attempt, covering, refused, warned = fitted
        if refused:
            if earlier := self._reserved_before(db, request):
                return fitting, earlier, []
            if self._expire(db, now):
                refused, _ = self._counters.refusals(db, covering, fitting.worst.pico, now)
            if refused:
                if not (waits and can_wait(refused)):
                    count_refusals(db, fitting, refused, now)
                raise no_room(request, refused)
        if db.run(INSERT, reservation(fitting, now, now + self._lease)):
            add_counts(db, covering, now, Counts(reserved=fitting.worst.pico))
            return fitting, attempt, warned
        return fitting, self._reserved_before(db, request) or attempt, []

    def _take_back(self, attempt_id: str) -> None:
        """Gives up a reservation whose caller is gone; it was never sent."""
        ended_at = moment(self._now())

        def work(db: Transaction) -> None:
            with contextlib.suppress(UnknownReservation):  # it was never written
                self._book(db, attempt_id, released(ended_at, error="NotSent"), None)

        def after(_: None) -> None:
            self._under_way.pop(attempt_id, None)
            self._queue.rouse()

        self._writing.add(Job(work, after=after, keep=True))

    def renew(self, attempt_id: str) -> None:
        """Begins the lease of an attempt under way anew, for a request that takes longer than the lease.

        Raises:
            LedgerUnavailable: The store cannot be written.
        """
        lease_until = self._now() + self._lease
        sql = "UPDATE attempts SET lease_until = ? WHERE id = ? AND status = 'reserved'"
        self._writing.run(Job(lambda db: db.run(sql, (lease_until, attempt_id))))

    def sweep(self) -> list[Attempt]:
        """Holds as unknown every attempt whose lease is over: its owner died or forgot it.

        Returns:
            The attempts that were swept up.

        Raises:
            LedgerUnavailable: The store cannot be written.
        """

        def work(db: Transaction) -> list[Attempt]:
            self._refresh(db)
            return self._expire(db, self._now())

        swept = self._writing.run(Job(work))
        if swept:
            self._queue.rouse()
        return swept

    def _count(self, request: AttemptRequest, refused: Sequence[Refusal]) -> None:
        """Counts a call whose wait for room is over, without waiting for the store."""
        self._writing.put(Job(lambda db: count_refusals(db, request, refused, self._now()), keep=True))

    def _fit(
        self, db: Transaction, request: AttemptRequest, refit: Refit | None, now: int
    ) -> tuple[AttemptRequest, Attempt, list[tuple[Counter, str]], list[Refusal], list[BudgetStatus]]:
        """The request, refitted where a policy says so, as an attempt; what it counts in; and who refuses or warns."""
        refits = 0
        while True:
            attempt = reserved_attempt(request, now)
            self._counters.check_currency(attempt)
            covering = self._counters.covering(attempt)
            refused, warned = self._counters.refusals(db, covering, request.worst.pico, now)
            tight = [refusal.status for refusal in refused if refusal.status.budget.policy in ("clamp", "downgrade")]
            if refit is None or not tight or len(tight) < len(refused) or refits == _REFITS:
                return request, attempt, covering, refused, warned
            least = min(tight, key=lambda status: status.left)
            smaller = refit(request, least.left, least.budget.policy)
            if smaller is None:
                return request, attempt, covering, refused, warned
            if smaller.attempt_id != request.attempt_id or not 0 <= smaller.worst.pico < MOST_PICO:
                raise ConfigurationError("refit must return the same attempt with a smaller worst case")
            request = smaller
            refits += 1

    def _remember(self, attempt: Attempt) -> None:
        """Keeps a reservation at hand for its settle; of those that nobody ends, the oldest are forgotten."""
        if len(self._under_way) >= _AT_HAND:
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del self._under_way[next(iter(self._under_way))]
        self._under_way[attempt.id] = attempt

    @staticmethod
    def _reserved_before(db: Transaction, request: AttemptRequest) -> Attempt | None:
        row = db.one(f"{SELECT} WHERE id = ?", (request.attempt_id,))
        if row is None:
            return None
        attempt = attempt_of(row)
        if attempt.call_id != request.call_id or attempt.status != "reserved":
            raise LedgerError(f"the attempt {request.attempt_id!r} is booked already; every attempt needs its own id")
        return attempt
