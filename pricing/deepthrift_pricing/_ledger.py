"""The ledger: every attempt is reserved before it is sent, and settled, released or held when it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import unquote

from deepthrift_pricing._attempt import Attempt, AttemptRequest, utc_now
from deepthrift_pricing._budget import MOST_PICO, Budget, BudgetStatus
from deepthrift_pricing._cost import Cost
from deepthrift_pricing._counters import Counters, Counts, Refusal, counts_of
from deepthrift_pricing._records import (
    END,
    INSERT,
    SELECT,
    Outcome,
    attempt_of,
    ending,
    held,
    reservation,
    reserved_attempt,
)
from deepthrift_pricing._spend import SpendRow, spend_rows
from deepthrift_pricing._store import Store, Transaction, Value
from deepthrift_pricing._store_sqlite import SqliteStore
from deepthrift_pricing._usage import Mode, Usage
from deepthrift_pricing._waiters import Queue, Waiter
from deepthrift_pricing._window import micros, moment
from deepthrift_pricing.errors import (
    BudgetExceeded,
    ConfigurationError,
    CurrencyMismatch,
    LedgerClosed,
    LedgerError,
    LedgerUnavailable,
    UnknownReservation,
)

_LOG: Final = logging.getLogger("deepthrift.budget")
_POLL_SHARED: Final = (0.004, 0.128)
"""Seconds between two looks at a store that other processes use: at first, and at most."""
_POLL_ALONE: Final = (1.0, 1.0)
"""The same where only this process can make room, and says so: leases and windows end by themselves."""


class NoRoom(BudgetExceeded):
    """A refusal that the ledger itself reads before a caller does."""

    refusals: tuple[Refusal, ...] = ()

    @property
    def can_wait(self) -> bool:
        """Whether every budget that refused may still find room, and asks to wait for it."""
        return all(refusal.can_come_free and refusal.status.budget.policy == "wait" for refusal in self.refusals)

    @property
    def counters(self) -> frozenset[int]:
        """The counts without room."""
        return frozenset(refusal.counter for refusal in self.refusals)


class Ledger:
    """Every attempt at every endpoint, what it reserved and what it cost, and the budgets it is held to.

    Open one with `Ledger.open`. It may be used from any thread and any event loop; a file may be shared by processes.
    """

    def __init__(
        self,
        store: Store,
        *,
        budgets: Iterable[Budget] = (),
        lease: float = 900.0,
        clock: Callable[[], datetime] = utc_now,
        url: str = "",
    ) -> None:
        """A ledger in `store`; `Ledger.open` is the usual way in."""
        if not lease > 0:
            raise ConfigurationError(f"a lease lasts longer than {lease!r} s; give the seconds a request may take")
        self._store = store
        self._url = url
        self._clock = clock
        self._lease = timedelta(seconds=lease) // timedelta(microseconds=1)
        self._counters = Counters(budgets)
        self._queue = Queue()
        self._pending: dict[str, Callable[[Attempt], Outcome | None]] = {}
        self._closed = False
        with store.write() as db:
            self._counters.register(db, self._now())
        self.sweep()

    @classmethod
    def open(
        cls,
        url: str | Path = "memory:",
        *,
        budgets: Iterable[Budget] = (),
        lease: float = 900.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """Opens a ledger, and creates it where there is none.

        Args:
            url: `memory:`, `sqlite:///spend.db` (four slashes for an absolute path), or a `Path` to such a file.
            budgets: The limits that this process holds its attempts to. What the ledger holds already counts.
            lease: Seconds after which an attempt whose owner fell silent is held as unknown. Make it longer than the
                longest request.
            clock: Tells the moment, aware; for tests.

        Raises:
            ConfigurationError: The URL or the lease is wrong.
            LedgerUnavailable: The store cannot be opened or written.
            LedgerError: The file is no ledger, or was made by a newer version.
        """
        return cls(open_store(url), budgets=budgets, lease=lease, clock=clock, url=str(url))

    @property
    def url(self) -> str:
        """What it was opened with."""
        return self._url

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that attempts of this process are held to."""
        return self._counters.budgets

    # -- reserve ----------------------------------------------------------------------------------------------------

    def try_reserve(self, request: AttemptRequest) -> Attempt:
        """Reserves the worst case against every budget in scope at once, or against none.

        The reservation is in the store when this returns. The attempt starts now, and this moment chooses its windows.
        A second reservation of the same attempt returns the first.

        Raises:
            BudgetExceeded: A budget has no room; nothing is reserved.
            CurrencyMismatch: A budget in scope is in the other currency.
            LedgerUnavailable: The store cannot be written; nothing is reserved.
        """
        self._flush()
        now = self._now()
        attempt = reserved_attempt(request, now)
        worst = request.worst.pico
        if not 0 <= worst < MOST_PICO:
            raise ConfigurationError(f"a worst case of {request.worst} cannot be reserved")
        with self._store.write() as db:
            self._counters.refresh(db)
            self._counters.check_currency(attempt)
            covering = self._counters.covering(attempt)
            refused, warned = self._counters.refusals(db, covering, worst, now)
            if (refused or warned) and (earlier := self._reserved_before(db, request)):
                return earlier
            if not refused:
                if not db.run(INSERT, reservation(request, now, now + self._lease)):
                    return self._reserved_before(db, request) or attempt
                for counter, part in covering:
                    counter.add(db, part, now, Counts(reserved=worst))
            elif self._expire(db, now):
                refused, _ = self._counters.refusals(db, covering, worst, now)
        for status in warned:
            _LOG.warning("over budget: %s", _shortage(request, status))
        if refused:
            raise self._no_room(request, refused)
        return attempt

    async def reserve(self, request: AttemptRequest, *, timeout: float | None = None) -> Attempt:  # noqa: ASYNC109
        """Reserves the worst case, and waits for room while attempts under way can still make some.

        Callers are served in the order in which they came. Cancelling the wait leaves nothing behind.

        Args:
            request: What is to be reserved.
            timeout: Seconds to wait at most; `None` waits as long as room can come free.

        Raises:
            BudgetExceeded: It can never fit this window, the budget refuses instead of waiting, or `timeout` is over.
            CurrencyMismatch: A budget in scope is in the other currency.
            LedgerUnavailable: The store cannot be written; nothing is reserved.
        """
        loop = asyncio.get_running_loop()
        roused = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(roused.set)

        turns = self._turns(request, timeout, Waiter(wake))
        try:
            while True:
                roused.clear()
                try:
                    seconds = next(turns)
                except StopIteration as done:
                    return cast("Attempt", done.value)
                try:
                    async with asyncio.timeout(seconds):
                        await roused.wait()
                except TimeoutError:
                    pass
        finally:
            turns.close()

    def reserve_blocking(self, request: AttemptRequest, *, timeout: float | None = None) -> Attempt:
        """The same as `reserve` for a thread without an event loop."""
        roused = threading.Event()
        turns = self._turns(request, timeout, Waiter(roused.set))
        try:
            while True:
                roused.clear()
                try:
                    seconds = next(turns)
                except StopIteration as done:
                    return cast("Attempt", done.value)
                roused.wait(seconds)
        finally:
            turns.close()

    def _turns(self, request: AttemptRequest, timeout: float | None, waiter: Waiter) -> Generator[float, None, Attempt]:
        """Tries to reserve each time it is resumed; in between it yields how many seconds to sleep unless roused."""
        deadline = None if timeout is None else time.monotonic() + timeout
        shortest, longest = _POLL_SHARED if self._store.shared else _POLL_ALONE
        refusal: NoRoom | None = None
        if not self._queue.blocked(self._needs(request)):
            try:
                return self.try_reserve(request)
            except NoRoom as error:
                if not error.can_wait:
                    raise
                refusal = error
        waiter.budgets = self._needs(request) if refusal is None else refusal.counters
        self._queue.join(waiter)
        delay = shortest
        try:
            while True:
                sleep = longest
                late = deadline is not None and time.monotonic() >= deadline
                if self._queue.has_turn(waiter) or (late and refusal is None):
                    try:
                        return self.try_reserve(request)
                    except NoRoom as error:
                        if not error.can_wait:
                            raise
                        refusal = error
                    waiter.budgets = refusal.counters
                    sleep = delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads processes out, guards nothing
                    delay = min(delay * 2, longest)
                if deadline is not None:
                    left = deadline - time.monotonic()
                    if left <= 0 and refusal is not None:
                        refusal.message += f" Waited {timeout:g} s for room."
                        raise refusal
                    sleep = min(sleep, max(left, 0))
                yield sleep
        finally:
            self._queue.leave(waiter)

    def _needs(self, request: AttemptRequest) -> frozenset[int]:
        """The counts with a limit that the request would be held to."""
        attempt = reserved_attempt(request, 0)
        return frozenset(counter.id for counter, _ in self._counters.covering(attempt) if counter.limits)

    @staticmethod
    def _reserved_before(db: Transaction, request: AttemptRequest) -> Attempt | None:
        row = db.one(f"{SELECT} WHERE id = ?", (request.attempt_id,))
        if row is None:
            return None
        attempt = attempt_of(row)
        if attempt.call_id != request.call_id or attempt.reserved != request.worst or attempt.status != "reserved":
            raise LedgerError(
                f"the attempt {request.attempt_id!r} is booked already; give every attempt an id of its own"
            )
        return attempt

    @staticmethod
    def _no_room(request: AttemptRequest, refused: Sequence[Refusal]) -> NoRoom:
        first = min(refused, key=lambda refusal: refusal.can_come_free)
        error = NoRoom(_shortage(request, first.status), status=first.status, needed=request.worst)
        error.refusals = tuple(refused)
        return error

    # -- settle -----------------------------------------------------------------------------------------------------

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
    ) -> Attempt:
        """Books what the attempt really cost, in the windows that it was reserved in, and gives the rest back.

        The whole cost is booked, also above the reservation or above a budget's limit. A second settle changes nothing.
        An attempt that was held as unknown, or released too early, is settled all the same.

        Raises:
            UnknownReservation: There is no such attempt in this ledger.
            CurrencyMismatch: The cost is in another currency than the reservation.
            LedgerUnavailable: The store cannot be written. The outcome is kept in memory and booked with the next use
                of this ledger; until then the reservation stands.
        """

        def outcome(attempt: Attempt) -> Outcome | None:
            if attempt.status == "settled":
                return None
            if cost.currency != attempt.reserved.currency:
                raise CurrencyMismatch(
                    f"the attempt {attempt_id!r} was reserved in {attempt.reserved.currency} and cannot be settled in "
                    f"{cost.currency}"
                )
            if cost.total > attempt.reserved:
                _LOG.warning(
                    "attempt %s cost %s, more than its reservation of %s", *(attempt_id, cost.total, attempt.reserved)
                )
            return Outcome("settled", micros(ended_at), cost, usage, finish_reason, http_status, error)

        return self._end(attempt_id, outcome)

    def release(
        self,
        attempt_id: str,
        *,
        ended_at: datetime,
        http_status: int | None = None,
        error: str | None = None,
    ) -> Attempt:
        """Gives the reservation back: the attempt is known not to be billed. A second release changes nothing.

        Raises:
            UnknownReservation: There is no such attempt in this ledger.
            LedgerUnavailable: The store cannot be written; see `settle`.
        """

        def outcome(attempt: Attempt) -> Outcome | None:
            if attempt.status in ("settled", "released"):
                return None
            nothing = Cost.zero(attempt.reserved.currency)
            return Outcome("released", micros(ended_at), nothing, None, None, http_status, error)

        return self._end(attempt_id, outcome)

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

        def outcome(attempt: Attempt) -> Outcome | None:
            if attempt.status != "reserved":
                return None
            ended = self._now() if ended_at is None else micros(ended_at)
            cost = held(attempt.reserved, attempt.cost.price_ids)
            return Outcome("unknown", ended, cost, usage, finish_reason, http_status, error)

        return self._end(attempt_id, outcome)

    def renew(self, attempt_id: str) -> None:
        """Begins the lease of an attempt under way anew, for a request that takes longer than the lease."""
        with self._store.write() as db:
            db.run(
                "UPDATE attempts SET lease_until = ? WHERE id = ? AND status = 'reserved'",
                (self._now() + self._lease, attempt_id),
            )

    def sweep(self) -> list[Attempt]:
        """Holds as unknown every attempt whose lease is over: its owner died or forgot it.

        Returns:
            The attempts that were swept up.
        """
        self._flush()
        with self._store.write() as db:
            swept = self._expire(db, self._now())
        if swept:
            self._queue.rouse()
        return swept

    def _end(self, attempt_id: str, outcome: Callable[[Attempt], Outcome | None]) -> Attempt:
        self._flush()
        try:
            with self._store.write() as db:
                attempt = self._book(db, attempt_id, outcome)
        except LedgerUnavailable as error:
            self._pending.setdefault(attempt_id, outcome)
            error.message += "; what the attempt cost is kept in memory and booked as soon as the ledger can be written"
            raise
        self._queue.rouse()
        return attempt

    def _book(self, db: Transaction, attempt_id: str, decide: Callable[[Attempt], Outcome | None]) -> Attempt:
        row = db.one(f"{SELECT} WHERE id = ?", (attempt_id,))
        if row is None:
            raise UnknownReservation(f"the attempt {attempt_id!r} was never reserved in this ledger; reserve it first")
        before = attempt_of(row)
        outcome = decide(before)
        if outcome is None:
            return before
        self._counters.refresh(db)
        db.run(END, ending(attempt_id, outcome))
        after = before.model_copy(
            update={
                "status": outcome.status,
                "ended_at": None if outcome.ended_at is None else moment(outcome.ended_at),
                "cost": outcome.cost,
                "usage": outcome.usage,
                "finish_reason": outcome.finish_reason,
                "http_status": outcome.http_status,
                "error": outcome.error,
            }
        )
        self._counters.move(db, before, counts_of(before), counts_of(after))
        return after

    def _expire(self, db: Transaction, now: int) -> list[Attempt]:
        expired = db.all("SELECT id FROM attempts WHERE status = 'reserved' AND lease_until <= ?", (now,))

        def lost(attempt: Attempt) -> Outcome:
            cost = held(attempt.reserved, attempt.cost.price_ids)
            return Outcome("unknown", None, cost, None, None, None, "LeaseExpired")

        return [self._book(db, cast("str", row[0]), lost) for row in expired]

    def _flush(self) -> None:
        """Books what could not be booked when it ended."""
        if self._closed:
            raise LedgerClosed("the ledger is closed; open it again with Ledger.open()")
        if not self._pending:
            return
        for attempt_id, outcome in list(self._pending.items()):
            try:
                with self._store.write() as db:
                    self._book(db, attempt_id, outcome)
            except LedgerUnavailable:
                return
            self._pending.pop(attempt_id, None)

    # -- read -------------------------------------------------------------------------------------------------------

    def attempt(self, attempt_id: str) -> Attempt | None:
        """One attempt, or `None`."""
        with self._reading() as db:
            row = db.one(f"{SELECT} WHERE id = ?", (attempt_id,))
        return None if row is None else attempt_of(row)

    def attempts(
        self,
        *,
        since: datetime | None = None,
        call_id: str | None = None,
        group_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Attempt]:
        """Attempts in the order in which they started; with `limit`, the latest ones."""
        where: list[str] = []
        values: list[Value] = []
        for column, sign, value in (
            ("started_at", ">=", None if since is None else micros(since)),
            ("call_id", "=", call_id),
            ("group_id", "=", group_id),
        ):
            if value is not None:
                where.append(f"{column} {sign} ?")
                values.append(value)
        for name, wanted in (tags or {}).items():
            where.append(f"{self._store.tag_sql} = ?")
            values += [name, wanted]
        sql = SELECT + (f" WHERE {' AND '.join(where)}" if where else "") + " ORDER BY started_at DESC, id DESC"
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        with self._reading() as db:
            rows = db.all(sql, values)
        return [attempt_of(row) for row in reversed(rows)]

    def spend(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = ("mode",),
        zone: str = "UTC",
    ) -> list[SpendRow]:
        """What attempts that started from `since` up to `until` cost, summed in the database.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
            by: One row for each value of `mode`, `model`, `host`, `hour`, `day`, `month`, `purpose`, `status`,
                `certainty`, `call`, `group`, `finish_reason`, `error` or `tag:NAME`, and of each currency.
            zone: The time zone of hours, days and months.

        Raises:
            ConfigurationError: There is no such group or zone.
        """
        with self._reading() as db:
            return spend_rows(db, self._store.tag_sql, by, since, until, zone)

    def budget_status(self) -> list[BudgetStatus]:
        """Every budget in its window of this moment; those that count apart, once for each part with spend in it."""
        now = self._now()
        with self._reading() as db:
            self._counters.refresh(db)
            return self._counters.statuses(db, now)

    def completion_history(
        self, *, host: str, model: str, mode: Mode, limit: int = 200, purpose: str | None = None
    ) -> list[Usage]:
        """The latest usages that a provider reported exactly, the newest first."""
        sql = f"{SELECT} WHERE status = 'settled' AND usage_certainty = 'exact' AND host = ? AND model = ? AND mode = ?"
        values: list[Value] = [host, model, mode]
        if purpose is not None:
            sql += " AND purpose = ?"
            values.append(purpose)
        with self._reading() as db:
            rows = db.all(f"{sql} ORDER BY started_at DESC LIMIT ?", (*values, limit))
        return [usage for row in rows if (usage := attempt_of(row).usage) is not None]

    def close(self) -> None:
        """Books what is still pending and closes the store. A second call does nothing."""
        if not self._closed:
            self._flush()
            self._closed = True
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Ledger {self._url!r}, {len(self.budgets)} budgets>"

    def _reading(self) -> AbstractContextManager[Transaction]:
        self._flush()
        return self._store.read()

    def _now(self) -> int:
        return micros(self._clock())


def open_store(url: str | Path) -> Store:
    """The store that `url` names."""
    if isinstance(url, Path):
        return SqliteStore(url)
    if url == "memory:":
        return SqliteStore(None)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteStore(Path(unquote(rest[1:])).expanduser())
    raise ConfigurationError(
        f"{url!r} names no ledger; use 'memory:', 'sqlite:///spend.db', 'sqlite:////an/absolute/path.db', or a Path"
    )


def _shortage(request: AttemptRequest, status: BudgetStatus) -> str:
    left = "" if status.window_end is None or status.budget.rolls else f" until {status.window_end:%Y-%m-%d %H:%M} UTC"
    return (
        f"the worst case of the call, {request.worst}, does not fit the budget {status.name!r}: of {status.limit}, "
        f"{status.spent} are spent and {status.reserved} reserved, so {status.left} are left{left}. "
        "Lower max_tokens or shorten the prompt, wait, or raise the budget."
    )
