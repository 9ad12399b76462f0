"""How attempts end in a ledger: settled, released, or held as unknown; written now, or put into the queue."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias, cast

from deepthrift_pricing._ledger.counts.counters import counts_of
from deepthrift_pricing._ledger.counts.refusals import check_request
from deepthrift_pricing._ledger.outcomes import Decide, lost, released, settled, unknown, warn_above_reservation
from deepthrift_pricing._ledger.queue.jobs import Job
from deepthrift_pricing._ledger.queued import Booking, QueuedBookings
from deepthrift_pricing._ledger.reads import LedgerReads
from deepthrift_pricing._ledger.rows.identities import Identities
from deepthrift_pricing._ledger.rows.records import (
    END,
    END_AS_KNOWN,
    INSERT,
    SELECT,
    Outcome,
    attempt_of,
    ended,
    ending,
    reservation,
    reserved_attempt,
)
from deepthrift_pricing._ledger.waiters import Queue
from deepthrift_pricing._store.protocol import Store, Transaction
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY, Attempt, AttemptRequest, Identity
from deepthrift_pricing._values.budget import Budget
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import LedgerUnavailable, UnknownReservation
from deepthrift_pricing._values.usage import Usage
from deepthrift_pricing._values.window import micros, moment

Observer: TypeAlias = Callable[[Attempt], None]
"""Called with an attempt that has ended."""

_LOG: Final = logging.getLogger("deepthrift.budget")


class LedgerEndings(LedgerReads):
    """How attempts can end."""

    def __init__(self, store: Store, budgets: Iterable[Budget], clock: Callable[[], datetime], url: str) -> None:
        super().__init__(store, budgets, clock, url)
        self._queue = Queue()
        self._identities = Identities()
        self._under_way: dict[str, Attempt] = {}
        self._observers: tuple[Observer, ...] = ()
        self._queued = QueuedBookings(self._end_later, self._book_unsent_later)

    @property
    def queued(self) -> QueuedBookings:
        """Bookings for event loops: they are put into the queue at once, and written by the ledger's own thread."""
        return self._queued

    def settle(
        self,
        attempt_id: str,
        *,
        usage: Usage | None,
        cost: Cost,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
        identity: Identity = UNKNOWN_IDENTITY,
        service_tier: str | None = None,
    ) -> Attempt:
        """Books what the attempt really cost, in the windows that it was reserved in, and gives the rest back.

        The whole cost is booked, also above the reservation or above a budget's limit. A second settle changes nothing.
        An attempt that was held as unknown, or released too early, is settled all the same. `service_tier` is the one
        that served it, where it's known and isn't the one that was asked for.

        Raises:
            ConfigurationError: The cost, or the usage, is more than a ledger can hold; the reservation stands.
            UnknownReservation: There is no such attempt in this ledger.
            CurrencyMismatch: The cost is in another currency than the reservation.
            LedgerUnavailable: The store cannot be written. The outcome is kept in memory and booked with the next use
                of this ledger; until then the reservation stands.
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
        return self._end(attempt_id, decide)

    def news_of(self, attempt: Attempt, identity: Identity) -> str | None:
        """In words, what has changed behind the model's name, if this process sees it first with this answer.

        Call it before `settle`, which keeps the identity. It only looks at what is in memory.
        """
        return self._identities.news(attempt, identity)

    @property
    def identities_added(self) -> int:
        """How many identities this process has added: whoever keeps what `identities` says reads it anew after that."""
        return self._identities.additions

    def release(
        self,
        attempt_id: str,
        *,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Attempt:
        """Gives the reservation back: the attempt is known not to be billed. A second release changes nothing.

        One with a `finish_reason` was answered without being sent, by a cache for one.

        Raises:
            UnknownReservation: There is no such attempt in this ledger.
            LedgerUnavailable: The store cannot be written; see `settle`.
        """

        decide = released(ended_at, finish_reason=finish_reason, http_status=http_status, error=error)
        return self._end(attempt_id, decide)

    def book_unsent(
        self,
        request: AttemptRequest,
        *,
        ended_at: datetime,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Attempt:
        """Books an attempt for which nothing was reserved, because it was answered without being sent: by a cache.

        It is `released` at once and costs 0, so it needs no room in any budget. A second one of the same id changes
        nothing.

        Raises:
            ConfigurationError: Its worst case, or its tokens, are more than a ledger can hold.
            LedgerUnavailable: The store cannot be written; the attempt is not booked, and cost nothing.
        """
        decide = released(ended_at, finish_reason=finish_reason, http_status=http_status, error=error)
        return self._writing.run(self._unsent(request, decide)[1])

    def hold_unknown(
        self,
        attempt_id: str,
        *,
        ended_at: datetime | None = None,
        usage: Usage | None = None,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Attempt:
        """Keeps the worst case booked, marked as unknown: the attempt may have been billed, and nobody knows how much.

        A later `settle` or `release` corrects it. A second hold changes nothing.

        Raises:
            UnknownReservation: There is no such attempt in this ledger.
            LedgerUnavailable: The store cannot be written; see `settle`.
        """
        at = moment(self._now()) if ended_at is None else ended_at
        decide = unknown(at, usage=usage, finish_reason=finish_reason, http_status=http_status, error=error)
        return self._end(attempt_id, decide)

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Calls `observer` with each attempt that ends in this process, once it is booked: for metrics and the like.

        It runs in the thread that has written the booking, for calls in an event loop a thread of the ledger's, in the
        context of the call. It has to be quick and safe to call from any thread; what it raises is logged and goes no
        further.

        Returns:
            A function that ends the subscription.
        """
        self._observers = (*self._observers, observer)

        def end() -> None:
            self._observers = tuple(each for each in self._observers if each is not observer)

        return end

    def _end(self, attempt_id: str, decide: Decide) -> Attempt:
        try:
            return self._writing.run(self._ending(attempt_id, decide, None))
        except LedgerUnavailable as error:
            error.message += "; what the attempt cost is kept in memory and booked as soon as the ledger can be written"
            raise

    def _end_later(self, attempt: Attempt, decide: Decide) -> Booking:
        outcome = decide(attempt)
        after = attempt if outcome is None else ended(attempt, outcome)
        job = self._ending(attempt.id, decide, None if outcome is None else (outcome, after))
        self._writing.put(job)
        return Booking(after, job)

    def _ending(self, attempt_id: str, decide: Decide, known: tuple[Outcome, Attempt] | None) -> Job[Attempt]:
        """The job that ends an attempt, which is tried until it's written."""

        def after(attempt: Attempt) -> None:
            under_way = self._under_way.pop(attempt_id, None)
            self._identities.learn(attempt)
            self._queue.rouse()
            if under_way is not None:  # a second end of the same attempt is not told again
                warn_above_reservation(attempt)
                self._tell(attempt)

        context = contextvars.copy_context() if self._observers else None
        return Job(lambda db: self._book(db, attempt_id, decide, known), after=after, keep=True, context=context)

    def _book_unsent_later(self, request: AttemptRequest, decide: Decide) -> Booking:
        attempt, job = self._unsent(request, decide)
        job.keep = True
        self._writing.put(job)
        return Booking(attempt, job)

    def _unsent(self, request: AttemptRequest, decide: Decide) -> tuple[Attempt, Job[Attempt]]:
        """An attempt that was answered without being sent, and the job that books it."""
        check_request(request)
        started = micros(request.started_at)
        before = reserved_attempt(request, started)
        outcome = cast("Outcome", decide(before))
        attempt = ended(before, outcome)
        new = False

        def work(db: Transaction) -> Attempt:
            nonlocal new
            new = bool(db.run(INSERT, reservation(request, started, started)))
            if not new:
                row = db.one(f"{SELECT} WHERE id = ?", (request.attempt_id,))
                return before if row is None else attempt_of(row)
            db.run(END, ending(before, outcome))
            return attempt

        def after(booked: Attempt) -> None:
            if new:
                self._tell(booked)

        context = contextvars.copy_context() if self._observers else None
        return attempt, Job(work, after=after, context=context)

    def _tell(self, attempt: Attempt) -> None:
        for observer in self._observers:
            try:
                observer(attempt)
            except Exception:
                _LOG.exception("an observer of the ledger failed")

    def _book(self, db: Transaction, attempt_id: str, decide: Decide, known: tuple[Outcome, Attempt] | None) -> Attempt:
        """Ends an attempt as `decide` says of its state, as known in memory, or else as it stands in the store."""
        before = self._under_way.get(attempt_id)
        outcome = None if before is None else decide(before)
        if (
            before is not None
            and outcome is not None
            and (db.run(END_AS_KNOWN, (*ending(before, outcome), self._counters.version)))
        ):
            after = known[1] if known is not None else ended(before, outcome)
        else:
            self._refresh(db)
            row = db.one(f"{SELECT} WHERE id = ?", (attempt_id,))
            if row is None:
                raise UnknownReservation(
                    f"the attempt {attempt_id!r} was never reserved in this ledger; reserve it first"
                )
            before = attempt_of(row)
            outcome = decide(before)
            if outcome is None:
                return before
            db.run(END, ending(before, outcome))
            after = ended(before, outcome)
        self._identities.note(db, after)
        self._counters.move(db, before, counts_of(before), counts_of(after))
        return after

    def _expire(self, db: Transaction, now: int) -> list[Attempt]:
        expired = db.all("SELECT id FROM attempts WHERE status = 'reserved' AND lease_until <= ?", (now,))

        return [self._book(db, cast("str", row[0]), lost, None) for row in expired]

    def _refresh(self, db: Transaction) -> None:
        if self._store.shared:
            self._counters.refresh(db)
