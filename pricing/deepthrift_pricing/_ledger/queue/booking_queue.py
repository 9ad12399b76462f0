"""What is waiting to be written to a ledger's store: in order, in groups, and never on an event loop's thread."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, TypeVar, cast

from deepthrift_pricing._ledger.counts.counters import write_counts
from deepthrift_pricing._ledger.counts.group import GroupTransaction
from deepthrift_pricing._ledger.queue.idle_thread import IdleThread, forget_after_fork, in_event_loop
from deepthrift_pricing._ledger.queue.jobs import Job, announce, wake
from deepthrift_pricing._store.protocol import Store
from deepthrift_pricing._values.errors import DeepthriftError, LedgerClosed, LedgerError, LedgerUnavailable

T = TypeVar("T")

_LOG: Final = logging.getLogger("deepthrift.ledger")
_GROUP: Final = 128
"""Jobs in one transaction at most, which then takes a few milliseconds."""
_PAUSES: Final = (0.05, 1.0)
"""Seconds between two tries while the store can't be written: at first, and at most."""
_MARGIN: Final = 1.0
"""Seconds by which a store may take longer to report a lock than the time that it waits for it."""


class BookingQueue:
    """Jobs of one ledger in the order of their coming, written in groups by one thread at a time.

    A plain thread writes what is in the queue by itself, its own job last, so it needs no other thread. Inside an event
    loop nothing is written: jobs are put into the queue, and the ledger's own thread writes them.

    A group is one transaction. If it fails because of one job, each job gets a transaction of its own. Every job may
    run twice: when the answer to a COMMIT was lost, it finds its own work done.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: deque[Job[object]] = deque()
        self._thread = IdleThread("deepthrift-ledger", self._work)
        self._turn = threading.Lock()
        self._owner = 0
        self._pause = _PAUSES[0]
        self.closed = False
        self._gone = False
        _EVERY.add(self)
        forget_after_fork(self)

    @property
    def seconds(self) -> float:
        """How long a job may take to be written while others hold the store."""
        return self._store.lock_seconds + _MARGIN

    def put(self, job: Job[T]) -> None:
        """Puts a job into the queue, and never blocks.

        Raises:
            LedgerClosed: The ledger is closed.
        """
        self._check_open()
        self._jobs.append(cast("Job[object]", job))
        self._thread.wake()

    def run(self, job: Job[T]) -> T:
        """Does a job and returns what it comes to; blocks this thread.

        Raises:
            LedgerUnavailable: It can't be written now. A job to be kept stays in the queue.
            LedgerClosed: The ledger is closed.
            LedgerError: It's called from inside another job.
        """
        if in_event_loop():
            return self._run_elsewhere(job)
        self.check()
        self._jobs.append(cast("Job[object]", job))
        if not self._turn.acquire(timeout=self.seconds):
            return self._late(job)
        try:
            self._owner = threading.get_ident()
            while not job.done and job.failure is None and self._write_group():
                pass
        except BaseException:
            job.give_up()
            raise
        finally:
            self._owner = 0
            self._turn.release()
            if self._jobs:
                self._thread.wake()
        if not job.done:
            return self._late(job)
        return job.result()

    def check(self) -> None:
        """Nothing, if the ledger may be used here and now.

        Raises:
            LedgerClosed: The ledger is closed.
            LedgerError: It's called from inside a job.
        """
        self._check_open()
        self._check_outside()

    def settle(self) -> None:
        """Writes what is in the queue at this moment, as far as the store can be written; blocks this thread.

        Raises:
            LedgerClosed: The ledger is closed.
            LedgerError: It's called from inside a job.
        """
        self.check()
        if self._jobs or self._turn.locked():
            self._settle(self.seconds)

    def close(self, seconds: float) -> int:
        """Takes no more jobs, and writes what is left within about so many seconds. Returns how many weren't."""
        self._check_outside()
        self.closed = True
        end = time.monotonic() + seconds
        while (self._jobs or self._turn.locked()) and (left := end - time.monotonic()) > 0:
            if not self._settle(left) and self._jobs:
                time.sleep(min(_PAUSES[0], max(0.0, end - time.monotonic())))
        self._thread.stop(max(0.1, end - time.monotonic()))
        self._gone = True
        unwritten = list(self._jobs)
        self._jobs.clear()
        self._end(unwritten, LedgerClosed("the ledger was closed before this could be written"))
        return sum(job.keep for job in unwritten)

    def forget(self) -> None:
        """In a forked child: the parent writes what it has put into its queue."""
        self._jobs.clear()
        self._turn = threading.Lock()
        self._owner = 0
        self._thread.forget()

    def add(self, job: Job[T]) -> None:
        """The same as `put`, for what follows from a job that the ledger has taken already."""
        self._jobs.append(cast("Job[object]", job))
        self._thread.wake()

    def give_up(self, job: Job[T]) -> bool:
        """Undoes a job whose caller has gone; false if it's to be done all the same."""
        if job.give_up():
            return True
        if job.orphan is None:
            return False
        if job.error is None:
            job.orphan()
        return True

    # -- inside -----------------------------------------------------------------------------------------------------

    def _run_elsewhere(self, job: Job[T]) -> T:
        """For code without `await` inside an event loop: the ledger's thread does the job, and this one waits."""
        self.put(job)
        try:
            job.wait(self.seconds)
        except BaseException:
            self.give_up(job)
            raise
        return job.result() if job.done else self._late(job)

    def _late(self, job: Job[T]) -> T:
        """The error of a job that wasn't written, unless it was at the last moment."""
        failure = job.failure
        if not job.give_up() and not job.keep:
            return job.result()  # it was committed a moment ago
        if failure is not None:
            raise failure
        raise unavailable(self._store.lock_seconds)

    def _settle(self, seconds: float) -> bool:
        """Whether it was written."""
        if not self._turn.acquire(timeout=seconds):
            return False
        written = True
        try:
            self._owner = threading.get_ident()
            for _ in range(len(self._jobs) // _GROUP + 1):
                written = written and self._write_group()
        finally:
            self._owner = 0
            self._turn.release()
            if self._jobs:
                self._thread.wake()
        return written

    def _check_open(self) -> None:
        if self.closed:
            raise LedgerClosed("the ledger is closed; open it again with Ledger.open()")

    def _check_outside(self) -> None:
        if self._owner == threading.get_ident():
            raise LedgerError("the ledger was called from inside its own transaction, by a finalizer or a signal")

    def _work(self) -> float | None:
        """The thread's part: everything in the queue. Returns the seconds after which to try again."""
        while self._jobs:
            with self._turn:
                self._owner = threading.get_ident()
                try:
                    written = self._write_group()
                finally:
                    self._owner = 0
            if not written and self._jobs:
                pause, self._pause = self._pause, min(2 * self._pause, _PAUSES[1])
                return pause
            self._pause = _PAUSES[0]
        return None

    def _write_group(self) -> bool:
        """Writes the next jobs; false if the store can't be written now."""
        jobs: list[Job[object]] = []
        while self._jobs and len(jobs) < _GROUP:
            job = self._jobs.popleft()
            if not job.given_up:
                jobs.append(job)
            elif job.attempted and job.orphan is not None:
                job.orphan()
        if not jobs:
            return True
        try:
            self._write(jobs)
        except LedgerUnavailable as error:
            if len(jobs) == 1 or error.passing:
                self._put_back(jobs, error)
                return False
        except LedgerError as error:
            self._end(jobs, error)
            return True
        except Exception as error:
            if len(jobs) == 1:
                self._end(jobs, error)
                return True
        except BaseException:  # an interrupt: the others are done later
            self._jobs.extendleft(reversed(jobs))
            raise
        else:
            return True
        return self._write_each(jobs)

    def _write_each(self, jobs: Sequence[Job[object]]) -> bool:
        """After a group has failed: each job in a transaction of its own."""
        failed: list[Job[object]] = []
        for place, job in enumerate(jobs):
            try:
                self._write([job])
            except LedgerUnavailable as error:
                job.failure = error
                failed.append(job)
                if error.passing:
                    self._put_back([*failed, *jobs[place + 1 :]], error)
                    return False
            except Exception as error:
                self._end([job], error)
            except BaseException:
                self._jobs.extendleft(reversed([*failed, *jobs[place:]]))
                raise
        for job in reversed(failed):
            self._put_back([job], cast("LedgerUnavailable", job.failure))
        return not failed

    def _write(self, jobs: Sequence[Job[object]]) -> None:
        """One transaction with all of `jobs`.

        Raises:
            LedgerUnavailable: None of them is written, or it's unknown whether they are; each may be done again.
        """
        with self._store.write() as db:
            group = GroupTransaction(db, write_counts)
            for job in jobs:
                job.error = None
                try:
                    job.value = job.work(group)
                except LedgerUnavailable:
                    raise
                except DeepthriftError as error:
                    job.error = error
            group.flush()
            # From here on a COMMIT may go through although its answer is lost.
            for job in jobs:
                job.attempted = True
        orphans: list[Job[object]] = []
        for job in jobs:
            if job.error is None and job.after is not None:
                _after(job, job.after)
            if not job.take() and job.error is None:
                orphans.append(job)
        orphans += [job for job in announce(jobs) if job.error is None]
        for job in orphans:
            if job.orphan is not None:
                job.orphan()

    def _put_back(self, jobs: Sequence[Job[object]], error: LedgerUnavailable) -> None:
        """Keeps what is to be tried again at the head of the queue; the rest gets the error."""
        if self._gone:
            _LOG.error("%d bookings could not be written before the ledger was closed: %s", len(jobs), error)
            self._end(jobs, error)
            return
        again: list[Job[object]] = []
        over: list[Job[object]] = []
        for job in jobs:
            job.failure = error if len(jobs) == 1 else _copied(error)
            (again if job.keep or (error.passing and job.may_try_again()) else over).append(job)
        self._jobs.extendleft(reversed(again))
        if not error.passing:  # a full disk: nothing is gained by waiting for it
            wake(again)
        self._end(over, error)

    def _end(self, jobs: Sequence[Job[object]], error: BaseException) -> None:
        """`jobs` failed for good."""
        for job in jobs:
            job.error = error if len(jobs) == 1 else _copied(error)
            job.take()
        announce(jobs)
        for job in jobs:
            if job.attempted and job.orphan is not None:
                job.orphan()


def unavailable(seconds: float, how: str = "written") -> LedgerUnavailable:
    """The error of a job that wasn't done in time."""
    error = LedgerUnavailable(
        f"the ledger could not be {how} within {seconds:.3g} s: another process keeps it locked, or the database "
        "doesn't answer. Look for the one that hangs, then call again"
    )
    error.passing = True
    return error


def _copied(error: BaseException) -> BaseException:
    """An error for one of several callers, each of which adds what it knows."""
    own = copy(error)
    own.__cause__ = error
    return own


def _after(job: Job[object], after: Callable[[object], None]) -> None:
    try:
        if job.context is None:
            after(job.value)
        else:
            job.context.run(after, job.value)
    except Exception:
        _LOG.exception("what follows a booking failed")


_EVERY: Final[weakref.WeakSet[BookingQueue]] = weakref.WeakSet()


def _write_all_at_exit() -> None:
    """Writes what a ledger that wasn't closed has in its queue, and waits for what its thread is writing."""
    for queue in list(_EVERY):
        if not queue.closed:
            queue.settle()


atexit.register(_write_all_at_exit)
