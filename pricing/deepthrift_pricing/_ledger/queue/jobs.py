"""A piece of a ledger's work, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from deepthrift_pricing._store.protocol import Transaction

T = TypeVar("T")


class Job(Generic[T]):
    """Work inside a transaction, which another thread may do, and its outcome.

    Exactly one side decides what becomes of it: `take` by the thread that did it, or `give_up` by the caller.
    """

    __slots__ = (
        "_open",
        "after",
        "attempted",
        "context",
        "done",
        "error",
        "failure",
        "future",
        "keep",
        "loop",
        "orphan",
        "ready",
        "until",
        "value",
        "work",
    )  # fmt: skip

    def __init__(
        self,
        work: Callable[[Transaction], T],
        *,
        after: Callable[[T], None] | None = None,
        orphan: Callable[[], None] | None = None,
        keep: bool = False,
        until: float = 0.0,
        context: contextvars.Context | None = None,
    ) -> None:
        """Work to be done.

        Args:
            work: Runs in a transaction. When it raises a `DeepthriftError`, what it has written before stays.
            after: Gets the result once it's committed, in the thread that committed it.
            orphan: Undoes what was, or may have been, committed after the caller has given up or got an error.
            keep: Whether it's tried until it's written; the caller can't give it up.
            until: The moment of `time.monotonic` until which it's tried again while the store is locked or away.
            context: The context to call `after` in.
        """
        self.work = work
        self.after = after
        self.orphan = orphan
        self.keep = keep
        self.until = until
        self.context = context
        self.done = False
        self.attempted = False
        """Whether a transaction with it may have been committed."""
        self.value: T | None = None
        self.error: BaseException | None = None
        self.failure: BaseException | None = None
        """Why it wasn't written when it was tried last."""
        self._open = [None]
        self.ready: threading.Lock | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[None] | None = None

    # -- the caller's side ------------------------------------------------------------------------------------------

    def give_up(self) -> bool:
        """Lets it go undone, or undone again; false if it's done already, or has to be done."""
        return not self.keep and self.take()

    @property
    def given_up(self) -> bool:
        """Whether the caller has given it up."""
        return not self._open and not self.done

    def result(self) -> T:
        """What it came to."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)

    def wait(self, seconds: float) -> bool:
        """Blocks this thread until it's done, or for so many seconds; returns whether it's done."""
        ready = self.ready = threading.Lock()
        ready.acquire()
        if not self.done:
            ready.acquire(timeout=-1 if seconds == math.inf else min(seconds, threading.TIMEOUT_MAX))
        return self.done

    async def wait_async(self, seconds: float) -> bool:
        """The same for a task."""
        loop = self.loop = asyncio.get_running_loop()
        future = self.future = loop.create_future()
        if self.done:
            return True
        timer = None if seconds == math.inf else loop.call_later(max(0.0, seconds), _resolve, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
        return self.done

    # -- the working side -------------------------------------------------------------------------------------------

    def take(self) -> bool:
        """Decides what becomes of it; true for the first who does."""
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def may_try_again(self) -> bool:
        """Whether it may be tried again later."""
        return self.keep or (bool(self._open) and time.monotonic() < self.until)


def announce(jobs: Sequence[Job[object]]) -> list[Job[object]]:
    """Wakes those who wait for `jobs`, which are done. Returns the jobs whose event loop is gone."""
    for job in jobs:
        job.done = True
    return wake(jobs)


def wake(jobs: Sequence[Job[object]]) -> list[Job[object]]:
    """Wakes those who wait for `jobs`, each event loop once. Returns the jobs whose event loop is gone."""
    lost: list[Job[object]] = []
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for job in jobs:
        if job.ready is not None:
            with contextlib.suppress(RuntimeError):
                job.ready.release()
        if job.future is not None and job.loop is not None:
            loops.setdefault(job.loop, []).append(job.future)
    for loop, futures in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, futures)
        except RuntimeError:  # it's closed
            lost += [job for job in jobs if job.loop is loop]
    return lost


def _resolve_all(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        _resolve(future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
