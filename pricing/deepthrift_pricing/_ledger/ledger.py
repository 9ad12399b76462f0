"""The ledger as a user opens it, and the waiting for room in its budgets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from deepthrift_pricing._ledger.alert_claims import Claim, claim
from deepthrift_pricing._ledger.bookings import LedgerBookings, Refit
from deepthrift_pricing._ledger.counts.refusals import NoRoom
from deepthrift_pricing._ledger.prune import prune
from deepthrift_pricing._ledger.queue.booking_queue import unavailable
from deepthrift_pricing._ledger.queue.idle_thread import off_loop
from deepthrift_pricing._ledger.queue.jobs import Job
from deepthrift_pricing._ledger.waiters import Waiter
from deepthrift_pricing._store.open import open_store
from deepthrift_pricing._store.protocol import Store
from deepthrift_pricing._store.url import safe_url
from deepthrift_pricing._values.attempt import Attempt, AttemptRequest, utc_now
from deepthrift_pricing._values.budget import Budget
from deepthrift_pricing._values.window import micros

_LOG: Final = logging.getLogger("deepthrift.ledger")
_LEAST_TO_WRITE: Final = 1.0
"""Seconds that a store gets at least to write a reservation, even one that is not to wait for room."""
_POLL_SHARED: Final = (0.004, 0.128)
"""Seconds between two looks at a store that other processes use: at first, and at most."""
_POLL_ALONE: Final = (1.0, 1.0)
"""The same where only this process can make room, and says so: leases and windows end by themselves."""


class Ledger(LedgerBookings):
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
        super().__init__(store, budgets, clock, url, lease)

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
            url: `memory:`, `sqlite:///spend.db` (four slashes for an absolute path), or a `Path` to such a file; for
                a fleet `postgresql://user@host/database`, in whose schema `deepthrift` (or `?schema=…`) it lives.
            budgets: The limits that this process holds its attempts to. What the ledger holds already counts.
            lease: Seconds after which an attempt whose owner fell silent is held as unknown. Make it longer than the
                longest request.
            clock: Tells the moment, aware; for tests.

        Raises:
            ConfigurationError: The URL or the lease is wrong.
            LedgerUnavailable: The store cannot be opened or written.
            LedgerError: The file is no ledger, or was made by a newer version.
        """
        chosen = tuple(budgets)
        return off_loop(lambda: cls._opened(url, chosen, lease, clock))

    @classmethod
    def _opened(cls, url: str | Path, budgets: Sequence[Budget], lease: float, clock: Callable[[], datetime]) -> Self:
        store = open_store(url)
        try:
            return cls(store, budgets=budgets, lease=lease, clock=clock, url=safe_url(str(url)))
        except BaseException:
            store.close()
            raise

    async def reserve(
        self,
        request: AttemptRequest,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        refit: Refit | None = None,
        write_timeout: float | None = None,
    ) -> Attempt:
        """Reserves the worst case, and waits for room while attempts under way can still make some.

        Callers are served in the order in which they came. Cancelling the wait leaves nothing behind. It's written by
        a thread of the ledger, so the event loop goes on however long the store takes.

        Args:
            request: What is to be reserved.
            timeout: Seconds to wait for room at most; `None` waits as long as room can come free.
            refit: Makes it smaller where a budget's policy is to clamp or downgrade; without it, they only wait.
            write_timeout: Seconds that the store may take to write it, while another process has it locked or it can't
                be reached; `None` is as long as the store waits for a lock, 10 s, or a shorter `timeout` of 1 s or
                more.

        Raises:
            BudgetExceeded: It can never fit this window, the budget refuses instead of waiting, or `timeout` is over.
            CurrencyMismatch: A budget in scope is in the other currency.
            LedgerUnavailable: The store cannot be written in time; nothing stays reserved.
        """
        loop = asyncio.get_running_loop()
        roused = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(roused.set)

        if write_timeout is None:
            write_timeout = self._writing.seconds
            if timeout is not None:
                write_timeout = min(write_timeout, max(timeout, _LEAST_TO_WRITE))
        waiter = Waiter(wake)
        turns: Generator[float | None, Attempt | NoRoom | None, Attempt] | None = None
        try:
            found: Attempt | NoRoom | None = None
            if not self._queue or not self._queue.blocked(self._needs(request), waiter):
                found = await self._try(request, refit, write_timeout, waiter)
                if isinstance(found, Attempt):
                    return found
            turns = self._turns(request, timeout, waiter, found)
            sent: Attempt | NoRoom | None = None
            while True:
                roused.clear()
                try:
                    seconds = turns.send(sent)
                except StopIteration as done:
                    return cast("Attempt", done.value)
                sent = None
                if seconds is None:
                    sent = await self._try(request, refit, write_timeout, None)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await roused.wait()
        finally:
            if turns is not None:
                turns.close()
            self._queue.leave(waiter)

    async def _try(
        self, request: AttemptRequest, refit: Refit | None, seconds: float, waiter: Waiter | None
    ) -> Attempt | NoRoom | None:
        """One try to reserve; what refuses it, where room may come free; `None` if others come first.

        Raises:
            BudgetExceeded: It can't fit.
            LedgerUnavailable: It wasn't written in time.
        """
        job = self._reservation(request, refit, until=time.monotonic() + seconds, waiter=waiter, waits=True)
        self._writing.put(job)
        try:
            written = await job.wait_async(seconds)
        except BaseException:
            self._writing.give_up(job)
            raise
        if not written and job.give_up():
            error = unavailable(seconds)
            error.message += "; nothing was sent"
            raise error from job.failure
        try:
            return job.result()
        except NoRoom as error:
            if not error.can_wait:
                raise
            return error

    def reserve_blocking(
        self, request: AttemptRequest, *, timeout: float | None = None, refit: Refit | None = None
    ) -> Attempt:
        """The same as `reserve`, for a thread without an event loop."""
        roused = threading.Event()
        waiter = Waiter(roused.set)

        def attempt(waiter: Waiter | None) -> Attempt | NoRoom | None:
            try:
                return self._writing.run(self._reservation(request, refit, waiter=waiter, waits=True))
            except NoRoom as error:
                if not error.can_wait:
                    raise
                return error

        turns: Generator[float | None, Attempt | NoRoom | None, Attempt] | None = None
        try:
            found: Attempt | NoRoom | None = None
            if not self._queue or not self._queue.blocked(self._needs(request), waiter):
                found = attempt(waiter)
                if isinstance(found, Attempt):
                    return found
            turns = self._turns(request, timeout, waiter, found)
            sent: Attempt | NoRoom | None = None
            while True:
                roused.clear()
                try:
                    seconds = turns.send(sent)
                except StopIteration as done:
                    return cast("Attempt", done.value)
                sent = None
                if seconds is None:
                    sent = attempt(None)
                else:
                    roused.wait(seconds)
        finally:
            if turns is not None:
                turns.close()
            self._queue.leave(waiter)

    def _turns(
        self, request: AttemptRequest, timeout: float | None, waiter: Waiter, found: Attempt | NoRoom | None
    ) -> Generator[float | None, Attempt | NoRoom | None, Attempt]:
        """When to try and when to sleep, after a first try has `found` no room, or wasn't made.

        It yields `None` for a try, whose outcome is sent in, and else how many seconds to sleep unless roused.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        shortest, longest = _POLL_SHARED if self._store.shared else _POLL_ALONE
        refusal = found if isinstance(found, NoRoom) else None
        waiter.budgets = self._needs(request) if refusal is None else refusal.counters
        self._queue.join(waiter)
        delay = shortest
        while True:
            sleep = longest
            late = deadline is not None and time.monotonic() >= deadline
            if self._queue.has_turn(waiter) or (late and refusal is None):
                outcome = yield None
                if isinstance(outcome, Attempt):
                    return outcome
                if outcome is not None:
                    refusal = outcome
                    waiter.budgets = refusal.counters
                sleep = delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads processes out, guards nothing
                delay = min(delay * 2, longest)
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0 and refusal is not None:
                    self._count(request, refusal.refusals)
                    refusal.message += f" Waited {timeout:g} s for room."
                    raise refusal
                sleep = min(sleep, max(left, 0))
            yield sleep

    def claim_alert(self, key: str, sink: str, now: int, stale: int, most_tries: int) -> Claim:
        """Claims the delivery of an alert to a sink for this process; times in microseconds since 1970.

        Raises:
            LedgerUnavailable: The store cannot be written; nothing is claimed.
        """
        return self._writing.run(Job(lambda db: claim(db, key, sink, now, stale, most_tries)))

    def alert_delivered(self, key: str, sink: str, at: int) -> None:
        """Notes that a claimed alert has arrived."""
        sql = "UPDATE alerts SET delivered_at = ? WHERE key = ? AND sink = ?"
        self._writing.run(Job(lambda db: db.run(sql, (at, key, sink))))

    def prune(self, before: datetime, *, compact: bool = True) -> int:
        """Deletes attempts that started before a moment, but for those under way, and what only they needed.

        It goes in small steps, between which calls of this and of other processes book on. Budgets keep what they have
        counted. A budget that is new to the ledger afterwards cannot know of what was deleted, and reports lack it:
        export first.

        Args:
            before: The first moment to keep.
            compact: Whether to give the space back to the disk. A SQLite file of an earlier version is only rewritten
                while what remains is below 32 MiB; above that it keeps its size, and new attempts fill the space.

        Returns:
            How many attempts were deleted.

        Raises:
            LedgerUnavailable: The store cannot be written. Steps that were done before stay done: call it again.
        """

        def steps() -> int:
            deleted = prune(lambda work: self._writing.run(Job(work)), self._counters, micros(before), self._now())
            if compact:
                self._store.compact()
            return deleted

        return off_loop(steps)

    def close(self) -> None:
        """Writes what is still in the queue, for as long as the store waits for a lock, and closes the store.

        A second call does nothing. In an event loop, `await ledger.aclose()` doesn't block it.
        """
        off_loop(self._close)

    async def aclose(self) -> None:
        """The same without blocking the event loop."""
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            error: BaseException | None = None
            try:
                self._close()
            except BaseException as failure:  # it's raised in the caller
                error = failure
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(tell, error)

        def tell(error: BaseException | None) -> None:
            if closed.done():
                return
            if error is None:
                closed.set_result(None)
            else:
                closed.set_exception(error)

        threading.Thread(target=run, name="deepthrift-ledger-close", daemon=True).start()
        await closed

    def _close(self) -> None:
        if self._writing.closed:
            return
        unwritten = self._writing.close(self._store.lock_seconds)
        if unwritten:
            _LOG.error(
                "the ledger %s was closed with %d bookings that could not be written; they stay reserved at their "
                "worst case until their leases end",
                self._url,
                unwritten,
            )
        self._reader.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
