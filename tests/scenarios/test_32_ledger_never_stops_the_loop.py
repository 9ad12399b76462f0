"""32. No ledger event stops the event loop: a locked file or table, a stopped database, a prune in another process."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import LedgerUnavailable
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.databases import postgres_url
from tests.support.doors import booked, settings
from tests.support.lockers import locked_file, locked_table, may_stop_backends, named, stopped_backends

BUDGETS = [Budget("1", per="day")]
TROUBLES = ["file", "table", "backends"]
Trouble = Callable[[], AbstractContextManager[Callable[[], None]]]


@pytest.fixture(params=TROUBLES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Trouble]]:
    """A ledger's URL, and what keeps its store busy."""
    if request.param == "file":
        path = tmp_path / "spend.db"
        yield f"sqlite:///{path}", lambda: locked_file(path)
        return
    with postgres_url() as url:
        if request.param == "table":
            yield url, lambda: locked_table(url)
        elif may_stop_backends():
            yield named(url), lambda: stopped_backends(url)
        else:
            pytest.skip("only root may stop the server's processes")


@asynccontextmanager
async def in_trouble(trouble: Trouble) -> AsyncIterator[Callable[[], None]]:
    """The trouble, begun and ended in another thread."""
    manager = trouble()
    let_go = await asyncio.to_thread(manager.__enter__)
    try:
        yield let_go
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def turns(count: int) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0.001)


async def test_other_tasks_go_on_and_nothing_is_lost(place: tuple[str, Trouble]) -> None:
    """Answers that come in while the store is busy reach their callers, and the store once it's free."""
    url, trouble = place
    let_go: Callable[[], None] | None = None
    async with BillServer(Answer("Paris.", delay=0.05)) as server, Ledger.open(url, budgets=BUDGETS) as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            await client.chat("Hi", max_tokens=20)
            calls = [asyncio.create_task(client.chat("Hi", max_tokens=20)) for _ in range(8)]
            while len(server.requests) < 9:
                await turns(1)
            async with in_trouble(trouble) as let_go:
                # Every turn of this task is a proof that the loop goes on: it waits for nothing but its own timer.
                while len(server.bill) < 9:
                    await turns(1)
                await turns(50)
                late = asyncio.create_task(client.chat("Hi", max_tokens=20))
                await turns(50)
                assert not late.done()
                await asyncio.to_thread(let_go)
                replies = await asyncio.gather(*calls, late)
        assert [reply.text for reply in replies] == ["Paris."] * 9
        assert {attempt.status for attempt in ledger.attempts()} == {"settled"}
        assert len(ledger.attempts()) == 10
        assert booked(ledger) == server.bill.total
        [status] = ledger.budget_status()
        assert (status.spent.amount, status.reserved.amount) == (server.bill.total, Decimal(0))


async def test_a_deadline_fires_before_anything_is_sent(place: tuple[str, Trouble]) -> None:
    url, trouble = place
    async with BillServer(Answer("Paris.")) as server, Ledger.open(url, budgets=BUDGETS) as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            await client.chat("Hi", max_tokens=20)
            async with in_trouble(trouble):
                with pytest.raises(LedgerUnavailable):
                    await client.chat("Hi", max_tokens=20, deadline=0.2)
                async with client.stream("Hi", max_tokens=20, deadline=0.2) as stream:
                    with pytest.raises(LedgerUnavailable):
                        await anext(aiter(stream))
        assert len(server.requests) == 1
        assert {attempt.status for attempt in ledger.attempts()} <= {"settled", "released"}
        assert booked(ledger) == server.bill.total
        assert ledger.budget_status()[0].reserved.amount == 0


async def test_cancelled_calls_are_booked_once_the_store_is_free(place: tuple[str, Trouble]) -> None:
    url, trouble = place
    async with BillServer(Answer("Paris.")) as server, Ledger.open(url, budgets=BUDGETS) as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            await client.chat("Hi", max_tokens=20)
            async with in_trouble(trouble):
                calls = [asyncio.create_task(client.chat("Hi", max_tokens=20)) for _ in range(4)]
                await turns(20)
                for call in calls:
                    call.cancel()
                done = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done)
        assert len(server.requests) == 1
        assert all(attempt.status != "reserved" for attempt in ledger.attempts())
        assert booked(ledger) == server.bill.total


async def test_clients_without_await_in_other_threads_go_on(place: tuple[str, Trouble], tmp_path: Path) -> None:
    """One that shares the ledger gets its deadline, and one with a ledger of its own doesn't notice."""
    url, trouble = place
    found: dict[str, object] = {}
    async with BillServer(Answer("Paris.")) as server:

        def sharing(ledger: Ledger) -> None:
            with Client(**settings(server, ledger=ledger)) as client:
                try:
                    client.chat("Hi", max_tokens=20, deadline=0.2)
                except LedgerUnavailable as error:
                    found["sharing"] = error

        def apart() -> None:
            with Ledger.open(tmp_path / "own.db") as own, Client(**settings(server, ledger=own)) as client:
                found["apart"] = [client.chat("Hi", max_tokens=20).text for _ in range(3)]

        async with Ledger.open(url, budgets=BUDGETS) as ledger:
            async with in_trouble(trouble):
                threads = [threading.Thread(target=sharing, args=(ledger,)), threading.Thread(target=apart)]
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    await turns(5)
            with Client(**settings(server, ledger=ledger)) as client:
                again = await asyncio.to_thread(client.chat, "Hi", max_tokens=20)
    assert isinstance(found["sharing"], LedgerUnavailable)
    assert found["apart"] == ["Paris."] * 3
    assert again.text == "Paris."


def aged(path: Path, rows: int) -> None:
    """Copies of the only attempt in a ledger, a year old."""
    with sqlite3.connect(path) as database:
        names = [column[1] for column in database.execute("PRAGMA table_info(attempts)")]
        changed = {name: f"{name} || '-' || value" for name in ("id", "call_id", "group_id")}
        changed["started_at"] = "started_at - 31536000000000 + value"
        wanted = ", ".join(changed.get(name, name) for name in names)
        numbers = "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
        database.execute(
            f"INSERT INTO attempts ({', '.join(names)}) {numbers} SELECT {wanted} FROM attempts, n", (rows,)
        )
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [30_000])
async def test_calls_go_on_while_another_process_prunes(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(Answer("Paris.")) as server, Ledger.open(path, budgets=BUDGETS) as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            await client.chat("Hi", max_tokens=20)
            await asyncio.to_thread(aged, path, rows)
            size = path.stat().st_size
            program = "from deepthrift_router.cli import main; main()"
            words = [sys.executable, "-c", program, "spend", "--prune", "30d", "--yes", "--ledger", str(path)]
            pruning = await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL)
            calls = 1
            while pruning.returncode is None:
                await client.chat("Hi", max_tokens=20)
                calls += 1
                await turns(1)
        assert pruning.returncode == 0
        assert len(ledger.attempts()) == calls
        assert booked(ledger) == server.bill.total
    assert path.stat().st_size < size / 2, "the space was given back"
