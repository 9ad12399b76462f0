"""The queue of a ledger's bookings: groups, failures inside a group, callers that give up, threads that end, forks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepthrift_pricing import Attempt, Budget, Ledger, Money
from deepthrift_pricing._ledger.queue.idle_thread import IdleThread
from deepthrift_pricing._ledger.queue.jobs import Job
from deepthrift_pricing._store.sqlite import SqliteStore
from deepthrift_pricing.errors import BudgetExceeded, LedgerClosed, LedgerUnavailable, UnknownReservation
from tests.pricing.ledgers import BILL, NOON, WORST, cost, settle, spent, wanted
from tests.support.databases import STORES, store_url
from tests.support.lockers import locked_file

DAY = [Budget("1", per="day")]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spend.db"


@contextmanager
def held_up(ledger: Ledger) -> Iterator[None]:
    """Nothing is written meanwhile, so that jobs gather."""
    with ledger._writing._turn:
        yield


def counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that are written."""
    sizes: list[int] = []
    write = ledger._writing._write
    monkeypatch.setattr(ledger._writing, "_write", lambda jobs: (sizes.append(len(jobs)), write(jobs))[1])
    return sizes


async def gathered(ledger: Ledger, count: int) -> None:
    """Waits until so many jobs are in the queue."""
    while len(ledger._writing._jobs) < count:
        await asyncio.sleep(0)


async def test_what_waits_is_written_in_one_transaction(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Ledger.open(url, budgets=DAY) as ledger:
        sizes = counted(ledger, monkeypatch)
        with held_up(ledger):
            tasks = [asyncio.create_task(ledger.reserve(wanted())) for _ in range(20)]
            await gathered(ledger, 19)
        attempts = await asyncio.gather(*tasks)
        assert max(sizes) >= 19
        bookings = [
            ledger.queued.settle(attempt, usage=None, cost=cost(), ended_at=NOON, finish_reason="stop")
            for attempt in attempts
        ]
        for booking in bookings:
            await booking.wait(30)
            assert booking.written
        assert spent(ledger) == Money.of(BILL) * 20
        assert {attempt.status for attempt in ledger.attempts()} == {"settled"}
        assert ledger.budget_status()[0].reserved == Money(0)
        assert [booking.attempt for booking in bookings] == [ledger.attempt(booking.attempt.id) for booking in bookings]


async def test_one_that_is_refused_does_not_touch_the_others_of_its_group(url: str) -> None:
    async with Ledger.open(url, budgets=[Budget("0.01", per="total", policy="refuse")]) as ledger:
        with held_up(ledger):
            tasks = [asyncio.create_task(ledger.reserve(wanted(worst))) for worst in ("0.004", "0.02", "0.005")]
            await gathered(ledger, 2)
        first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, Attempt)
        assert isinstance(second, BudgetExceeded)
        assert isinstance(third, Attempt)
        assert ledger.budget_status()[0].reserved == Money.of("0.009")


async def test_who_comes_while_an_earlier_one_is_still_being_refused_stays_behind(url: str) -> None:
    """The order is that of coming, not that in which the store says no."""
    async with Ledger.open(url, budgets=[Budget("0.01", per="total")]) as ledger:
        in_flight = await ledger.reserve(wanted("0.009"))
        served: list[str] = []

        async def one(name: str, worst: str) -> None:
            await ledger.reserve(wanted(worst))
            served.append(name)

        with held_up(ledger):
            tasks = [asyncio.create_task(one(name, worst)) for name, worst in (("large", "0.006"), ("small", "0.001"))]
            await gathered(ledger, 1)
        while len(ledger._queue) < 1:
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(one("tiny", "0.0001")))
        await asyncio.sleep(0)
        ledger.queued.release(in_flight, ended_at=NOON)
        await asyncio.gather(*tasks)
        assert served == ["large", "small", "tiny"]


async def test_one_that_breaks_the_transaction_takes_none_of_its_group_with_it(url: str) -> None:
    async with Ledger.open(url, budgets=DAY) as ledger:

        def broken(db: Any) -> None:
            db.run("UPDATE attempts SET error = 'half a job'")
            raise OverflowError("too large for a column")

        with held_up(ledger):
            first = asyncio.create_task(ledger.reserve(wanted()))
            await asyncio.sleep(0)
            job: Job[None] = Job(broken)
            ledger._writing.put(job)
            second = asyncio.create_task(ledger.reserve(wanted()))
            await asyncio.sleep(0)
        await asyncio.gather(first, second)
        await job.wait_async(30)
        with pytest.raises(OverflowError):
            job.result()
        assert [attempt.error for attempt in ledger.attempts()] == [None, None]
        assert ledger.budget_status()[0].reserved == Money.of(WORST) * 2


async def test_a_reservation_whose_caller_is_cancelled_leaves_nothing(url: str) -> None:
    """Cancelled before it's written, while it's written, and after it's written but before its caller knows."""
    async with Ledger.open(url, budgets=DAY) as ledger:
        with held_up(ledger):
            early = asyncio.create_task(ledger.reserve(wanted()))
            await asyncio.sleep(0)
            early.cancel()
            await asyncio.gather(early, return_exceptions=True)

        entered, leave = threading.Event(), threading.Event()

        def slow(*_: object) -> None:
            entered.set()
            leave.wait(30)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "_remember", slow)
            during = asyncio.create_task(ledger.reserve(wanted()))
            await asyncio.to_thread(entered.wait, 30)
            during.cancel()
            await asyncio.gather(during, return_exceptions=True)
            leave.set()

        late = asyncio.create_task(ledger.reserve(wanted()))
        await asyncio.sleep(0)
        while not (ledger._writing._turn.locked() is False and not ledger._writing._jobs):
            pass  # the loop gets no turn before it's written
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)

        assert all(attempt.status == "released" for attempt in ledger.attempts())
        assert ledger.budget_status()[0].reserved == Money(0)


async def test_a_storm_of_cancellations_at_every_step(url: str) -> None:
    async with Ledger.open(url, budgets=[Budget("0.02", per="total")]) as ledger:

        async def one(number: int) -> None:
            attempt = await ledger.reserve(wanted())
            booking = ledger.queued.settle(attempt, usage=None, cost=cost("0.0001"), ended_at=NOON)
            await booking.wait(30)

        tasks = [asyncio.create_task(one(number)) for number in range(100)]
        for number, task in enumerate(tasks):
            for _ in range(number % 7):
                await asyncio.sleep(0)
            if number % 3:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        attempts = ledger.attempts()
        assert {attempt.status for attempt in attempts} <= {"settled", "released"}
        [status] = ledger.budget_status()
        assert status.reserved == Money(0)
        assert status.spent == Money.of("0.0001") * sum(attempt.status == "settled" for attempt in attempts)


async def test_a_reservation_that_cannot_be_written_in_time_fails_and_leaves_nothing(path: Path) -> None:
    async with Ledger.open(path, budgets=DAY) as ledger:
        with locked_file(path) as let_go:
            with pytest.raises(LedgerUnavailable, match="nothing was sent"):
                await ledger.reserve(wanted(), write_timeout=0.1)
            with pytest.raises(LedgerUnavailable):
                await ledger.reserve(wanted(), timeout=0)
            patient = asyncio.create_task(ledger.reserve(wanted(), write_timeout=60))
            await asyncio.sleep(0)
            await asyncio.to_thread(let_go)
        attempt = await patient
        assert [each.status for each in ledger.attempts() if each.status != "released"] == ["reserved"]
        assert ledger.budget_status()[0].reserved == attempt.reserved


async def test_an_end_waits_in_memory_while_the_file_is_locked_and_reads_go_on(path: Path) -> None:
    store = SqliteStore(path, lock_seconds=0.05)
    ledger = await asyncio.to_thread(Ledger, store, budgets=DAY)
    async with ledger:
        attempt = await ledger.reserve(wanted())
        with locked_file(path) as let_go:
            booking = ledger.queued.settle(attempt, usage=None, cost=cost(), ended_at=NOON)
            assert booking.attempt.status == "settled"
            with pytest.raises(LedgerUnavailable):
                await booking.wait(0.1)
            assert not booking.written
            rows = await ledger.in_thread(ledger.attempts)
            assert [row.status for row in rows] == ["reserved"]
            await asyncio.to_thread(let_go)
        await booking.wait(30)
        assert spent(ledger) == Money.of(BILL)


async def test_what_is_in_the_queue_is_written_on_close_and_told_if_it_cannot_be(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = await asyncio.to_thread(Ledger, SqliteStore(path, lock_seconds=0.05), budgets=DAY)
    attempts = [await ledger.reserve(wanted()) for _ in range(2)]
    ledger.queued.settle(attempts[0], usage=None, cost=cost(), ended_at=NOON)
    await ledger.aclose()
    again = await asyncio.to_thread(Ledger, SqliteStore(path, lock_seconds=0.05), budgets=DAY)
    with locked_file(path):
        booking = again.queued.settle(attempts[1], usage=None, cost=cost(), ended_at=NOON)
        await again.aclose()
    with pytest.raises(LedgerClosed):
        await booking.wait(0)
    assert "1 bookings that could not be written" in caplog.text
    with pytest.raises(LedgerClosed):
        await again.reserve(wanted())
    async with Ledger.open(path) as last:
        assert [attempt.status for attempt in last.attempts()] == ["settled", "reserved"]


async def test_an_unknown_attempt_is_told_where_it_is_waited_for(url: str) -> None:
    async with Ledger.open(url) as ledger, Ledger.open("memory:") as other:
        attempt = await other.reserve(wanted())
        booking = ledger.queued.release(attempt, ended_at=NOON)
        with pytest.raises(UnknownReservation):
            await booking.wait(30)


async def test_a_lost_answer_to_a_commit_books_nothing_twice(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction went through, and the connection broke before anybody heard of it."""
    async with Ledger.open(url, budgets=DAY) as ledger:
        write, lost = ledger._store.write, [True, True]

        class Cut:
            def __enter__(self) -> Any:
                self.inner = write()
                return self.inner.__enter__()

            def __exit__(self, *failure: Any) -> None:
                self.inner.__exit__(*failure)
                if lost and failure[0] is None:
                    lost.pop()
                    error = LedgerUnavailable("the connection was lost")
                    error.passing = True
                    raise error

        monkeypatch.setattr(ledger._store, "write", Cut)
        attempt = await ledger.reserve(wanted())
        booking = ledger.queued.settle(attempt, usage=None, cost=cost(), ended_at=NOON)
        await booking.wait(30)
        assert not lost
        [status] = ledger.budget_status()
        assert (status.spent, status.reserved) == (Money.of(BILL), Money(0))
        assert len(ledger.attempts()) == 1


async def test_a_reservation_that_may_have_been_written_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Ledger.open(path, budgets=DAY) as ledger:
        write, lost = ledger._store.write, [True]

        class Cut:
            def __enter__(self) -> Any:
                self.inner = write()
                return self.inner.__enter__()

            def __exit__(self, *failure: Any) -> None:
                self.inner.__exit__(*failure)
                if lost:
                    lost.pop()
                    raise LedgerUnavailable("the answer to the commit was lost")

        monkeypatch.setattr(ledger._store, "write", Cut)
        with pytest.raises(LedgerUnavailable):
            await ledger.reserve(wanted())
        assert [attempt.status for attempt in ledger.attempts()] == ["released"]
        assert ledger.budget_status()[0].reserved == Money(0)


async def test_an_observer_hears_of_each_end_once_in_the_context_of_its_call(url: str) -> None:
    import contextvars

    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    heard: list[tuple[str, str]] = []

    async def call(text: str) -> None:
        name.set(text)
        attempt = await ledger.reserve(wanted())
        booking = ledger.queued.release(attempt, ended_at=NOON)
        ledger.queued.hold_unknown(attempt, ended_at=NOON)
        await booking.wait(30)

    async with Ledger.open(url) as ledger:
        ledger.subscribe(lambda attempt: heard.append((name.get(), attempt.status)))
        await asyncio.gather(call("a"), call("b"))
        ledger.attempts()
    assert sorted(heard) == [("a", "released"), ("b", "released")]


def test_a_ledger_that_nobody_closes_leaves_no_thread_behind() -> None:
    async def use() -> None:
        ledger = Ledger.open("memory:")
        attempt = await ledger.reserve(wanted())
        ledger.queued.release(attempt, ended_at=NOON)
        assert ledger.attempts()

    asyncio.run(use())  # the fixture that looks for threads does the rest


def test_an_idle_thread_that_is_woken_at_the_last_moment_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepthrift_pricing._ledger.queue.idle_thread.IDLE_SECONDS", 0.0)
    done: list[int] = []
    thread = IdleThread("test", lambda: done.append(1))
    for number in range(300):
        thread.wake()
        while len(done) <= number:
            thread.wake()  # more than one may be done as one
            if len(done) > number:
                break
            threading.Event().wait(0.0001)
        done[:] = [1] * (number + 1)
    thread.stop(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_write_what_its_parent_has_in_the_queue(path: Path) -> None:
    with Ledger.open(path, budgets=DAY) as ledger:
        attempt = ledger.try_reserve(wanted())
        with held_up(ledger):
            ledger.queued.settle(attempt, usage=None, cost=cost(), ended_at=NOON)
            child = os.fork()
            if child == 0:
                try:
                    assert not ledger._writing._jobs
                    settle(ledger, ledger.try_reserve(wanted(attempt="child", call="child")).id)
                    os._exit(0)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert spent(ledger) == Money.of(BILL) * 2


EXIT = """
import asyncio, sys
from deepthrift_pricing import Ledger
from tests.pricing.ledgers import NOON, cost, wanted

async def main():
    ledger = Ledger.open(f"sqlite:///{sys.argv[1]}")
    attempt = await ledger.reserve(wanted())
    with ledger._writing._turn:
        ledger.queued.settle(attempt, usage=None, cost=cost(), ended_at=NOON)

asyncio.run(main())
"""


def test_what_is_in_the_queue_when_the_program_ends_is_written(path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", EXIT, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Ledger.open(path) as ledger:
        assert spent(ledger) == Money.of(BILL)
