"""The ledger as a user opens it, and the waiting for room in its budgets."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from deepthrift_pricing._alert_claims import Claim, claim
from deepthrift_pricing._attempt import Attempt, AttemptRequest, utc_now
from deepthrift_pricing._budget import Budget
from deepthrift_pricing._ledger_bookings import LedgerBookings, Refit
from deepthrift_pricing._ledger_refusals import NoRoom
from deepthrift_pricing._records import reserved_attempt
from deepthrift_pricing._store import Store
from deepthrift_pricing._store_url import open_store, safe_url
from deepthrift_pricing._waiters import Waiter
from deepthrift_pricing._window import micros

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
        budgets = tuple(budgets)
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
    ) -> Attempt:
        """Reserves the worst case, and waits for room while attempts under way can still make some.

        Callers are served in the order in which they came. Cancelling the wait leaves nothing behind.

        Args:
            request: What is to be reserved.
            timeout: Seconds to wait at most; `None` waits as long as room can come free.
            refit: Makes it smaller where a budget's policy is to clamp or downgrade; without it, they only wait.

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

        turns = self._turns(request, timeout, refit, Waiter(wake))
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

    def reserve_blocking(
        self, request: AttemptRequest, *, timeout: float | None = None, refit: Refit | None = None
    ) -> Attempt:
        """The same as `reserve`, for a thread without an event loop."""
        roused = threading.Event()
        turns = self._turns(request, timeout, refit, Waiter(roused.set))
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

    def _turns(
        self, request: AttemptRequest, timeout: float | None, refit: Refit | None, waiter: Waiter
    ) -> Generator[float, None, Attempt]:
        """Tries to reserve each time it is resumed; in between it yields how many seconds to sleep unless roused."""
        deadline = None if timeout is None else time.monotonic() + timeout
        shortest, longest = _POLL_SHARED if self._store.shared else _POLL_ALONE
        refusal: NoRoom | None = None
        if not self._queue or not self._queue.blocked(self._needs(request)):
            try:
                return self._try(request, refit, waits=True)
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
                        return self._try(request, refit, waits=True)
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
                        self._count(request, refusal.refusals)
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

    def claim_alert(self, key: str, sink: str, now: int, stale: int, most_tries: int) -> Claim:
        """Claims the delivery of an alert to a sink for this process; times in microseconds since 1970.

        Raises:
            LedgerUnavailable: The store cannot be written; nothing is claimed.
        """
        self._flush()
        with self._store.write() as db:
            return claim(db, key, sink, now, stale, most_tries)

    def alert_delivered(self, key: str, sink: str, at: int) -> None:
        """Notes that a claimed alert has arrived."""
        self._flush()
        with self._store.write() as db:
            db.run("UPDATE alerts SET delivered_at = ? WHERE key = ? AND sink = ?", (at, key, sink))

    def prune(self, before: datetime, *, compact: bool = True) -> int:
        """Deletes attempts that started before a moment, but for those under way, and what only they needed.

        Budgets keep what they have counted. A budget that is new to the ledger afterwards cannot know of what was
        deleted, and reports lack it: export first.

        Args:
            before: The first moment to keep.
            compact: Whether to give the space back to the disk; a large SQLite file is rewritten, and writers wait.

        Returns:
            How many attempts were deleted.

        Raises:
            LedgerUnavailable: The store cannot be written; nothing is deleted.
        """
        self._flush()
        with self._store.write() as db:
            self._counters.refresh(db)
            deleted = db.run("DELETE FROM attempts WHERE started_at < ? AND status <> 'reserved'", (micros(before),))
            # An identity outlives its attempts, and so has what was told of it.
            keep = "substr(key, 1, 14) <> 'model_changed:'"
            db.run(f"DELETE FROM alerts WHERE claimed_at < ? AND {keep}", (micros(before),))  # noqa: S608
            db.run("DELETE FROM refusals WHERE last_at < ?", (micros(before),))
            self._counters.forget(db, micros(before), self._now())
        if compact:
            self._store.compact()
        return deleted

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
