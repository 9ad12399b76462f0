"""How many attempts an endpoint gets at a time: first come, first served, fewer after a 429, more after success."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from deepthrift._util.wait_queue import WaitQueue, join, turn

LONGEST_PAUSE: Final = 120.0
"""Seconds: a `Retry-After` beyond it is not waited for."""


class Limiter:
    """The places of one endpoint.

    The limit halves on a 429 and grows by one with every window of successes, up to `most` (AIMD). A `Retry-After`
    holds for everyone who waits. Cancelled waiters leave no hole.

    Args:
        most: The most attempts at a time; `None` is no limit until the endpoint sets one.
        now: A clock in seconds.
    """

    def __init__(self, most: int | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._most: float = math.inf if most is None else most
        self._limit = self._most
        self._now = now
        self._in_flight = 0
        self._waiters: WaitQueue = deque()
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._successes = 0
        self._cuts = 0

    @property
    def limit(self) -> int | None:
        """Attempts allowed at a time, or `None` without a limit."""
        return None if self._limit == math.inf else int(self._limit)

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Attempts that wait for a place."""
        return sum(not waiter.done() for waiter in tuple(self._waiters))  # other threads may look, too

    @property
    def pause_left(self) -> float:
        """Seconds for which the endpoint asked to be left alone."""
        return max(0.0, self._paused_until - self._now()) if self._paused_until else 0.0

    @property
    def cuts(self) -> int:
        """How often a 429 has halved the limit; an attempt keeps the number with which it began."""
        return self._cuts

    def enter_now(self) -> bool:
        """Take a place, if there is one and nobody waits for it."""
        if self._waiters or self._in_flight >= self._limit or self._pausing():
            return False
        self._in_flight += 1
        return True

    async def enter(self) -> None:
        """Take a place, waiting for one in the order of coming."""
        if self.enter_now():
            return
        waiter = join(self._waiters)
        self._wake()
        await turn(self._waiters, waiter, self.leave)

    def leave(self) -> None:
        """Give a place back."""
        self._in_flight -= 1
        self._wake()

    def succeeded(self) -> None:
        """An attempt came through: after a window of them, one more may go out at a time."""
        if self._limit >= self._most:
            return
        self._successes += 1
        if self._successes >= self._limit:
            self._successes = 0
            self._limit += 1
            self._wake()

    def refused(self, cuts: int, retry_after: float | None) -> None:
        """A 429, to an attempt that began after so many cuts; several of one burst halve the limit once."""
        if cuts == self._cuts:
            self._cuts += 1
            self._successes = 0
            self._limit = max(1, min(self._limit, self._in_flight) // 2)
        self.pause(retry_after)

    def pause(self, retry_after: float | None) -> None:
        """The endpoint asked to be left alone for so many seconds."""
        if retry_after is not None:
            self._paused_until = max(self._paused_until, self._now() + min(retry_after, LONGEST_PAUSE))

    def _pausing(self) -> bool:
        if self._paused_until and self._now() >= self._paused_until:
            self._paused_until = 0.0
        return self._paused_until > 0

    def _wake(self) -> None:
        while self._waiters and not self._pausing() and self._in_flight < self._limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)
        if self._waiters and self._pausing() and self._timer is None:
            loop = self._waiters[0].get_loop()
            self._timer = loop.call_later(self.pause_left, self._resume)

    def _resume(self) -> None:
        self._timer = None
        self._wake()

    def close(self) -> None:
        """Forget the timer; whoever still waits is cancelled by its own task."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
