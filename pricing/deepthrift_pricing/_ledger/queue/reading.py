"""Reads of a ledger: in the caller's thread, or off the event loop in a thread of the ledger's own."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, TypeVar, cast

from deepthrift_pricing._ledger.queue.booking_queue import BookingQueue, unavailable
from deepthrift_pricing._ledger.queue.idle_thread import IdleThread, forget_after_fork, in_event_loop
from deepthrift_pricing._ledger.queue.jobs import Job, announce
from deepthrift_pricing._store.protocol import Store, Transaction

T = TypeVar("T")

_MOMENT: Final = 0.03
"""Seconds that code without `await` may block an event loop."""
_SEEN: Final = 64


class Reading:
    """Looks into the store. What this ledger has booked before is written first, as far as the store can be written."""

    def __init__(self, writing: BookingQueue, store: Store) -> None:
        self._writing = writing
        self._store = store
        self._jobs: deque[Job[object]] = deque()
        self._seen: dict[Hashable, list[object]] = {}
        self._thread = IdleThread("deepthrift-ledger-reads", self._work)
        forget_after_fork(self)

    def run(self, look: Callable[[Transaction], T]) -> T:
        """What `look` finds; blocks this thread.

        Raises:
            LedgerUnavailable: The store can't be read.
        """
        if in_event_loop():
            job = self._put(lambda: self._look(look))
            job.wait(math.inf)
            return job.result()
        return self._look(look)

    def glance(self, key: Hashable, look: Callable[[Transaction], list[T]]) -> list[T]:
        """What `look` finds, without writing what is in the queue first: for figures that need not be of this moment.

        In an event loop it blocks next to nothing: where reads may have to wait, it's what an earlier look found, if
        this one takes longer than a moment.
        """
        job = self._put(lambda: self._glance(look)) if in_event_loop() else None
        if job is None:
            found = self._glance(look)
        elif job.wait(_MOMENT if self._store.reads_wait else math.inf) or not job.give_up():
            found = job.result()
        else:
            return cast("list[T]", self._seen.get(key, []))
        if self._store.reads_wait:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen[key] = cast("list[object]", found)
        return found

    async def in_thread(self, work: Callable[[], T], seconds: float | None) -> T:
        """What `work` returns, which runs in the reading thread."""
        job = self._put(work)
        try:
            if await job.wait_async(math.inf if seconds is None else seconds):
                return job.result()
        except BaseException:
            job.give_up()
            raise
        if job.give_up():
            raise unavailable(seconds or 0.0, "read")
        return job.result()

    def close(self) -> None:
        """Ends the thread."""
        self._thread.stop(self._store.lock_seconds)

    def _glance(self, look: Callable[[Transaction], T]) -> T:
        self._writing.check()
        with self._store.read() as db:
            return look(db)

    def _look(self, look: Callable[[Transaction], T]) -> T:
        self._writing.settle()
        with self._store.read() as db:
            return look(db)

    def _put(self, work: Callable[[], T]) -> Job[T]:
        job: Job[T] = Job(lambda _: work())
        self._jobs.append(cast("Job[object]", job))
        self._thread.wake()
        return job

    def _work(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if job.given_up:
                continue
            try:
                job.value = job.work(cast("Transaction", None))
            except BaseException as error:  # it's raised in the caller
                job.error = error
            job.take()
            announce([job])

    def forget(self) -> None:
        """In a forked child: who waits is in the parent."""
        self._jobs.clear()
        self._thread.forget()
