"""The longest pause of an event loop while a ledger's store is busy, in five situations.

    python benchmarks/ledger_pauses.py [--seconds 60] [--rows 300000] [--postgres postgresql://user@127.0.0.1/database]

In each, 16 tasks make calls to a server on loopback, one after the other, while a task that wants to run every 5 ms
measures how long it had to wait:

- the SQLite file is locked by another process, for `--seconds`;
- the table in PostgreSQL is locked by another session;
- the processes of PostgreSQL that serve the ledger are stopped, for which the user has to be root on its machine;
- another process prunes rows, `--rows` of them;
- clients without `await` in other threads make calls while the file is locked.

Afterwards nothing may be left reserved, and every answer has to be booked. Without `--postgres`, two aren't
measured. The schema `deepthrift_pauses` is made there, and dropped. Run it on an idle machine: a pause of the whole
machine is one of the loop, too. The second column shows how long the loop's own thread was at work in that pause: where
it's short, the loop wanted to go on, and got no processor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from _peers import heading, table, verdict
from peers_client import server

MODEL = {"host": "vllm", "model": "deepseek-ai/DeepSeek-V3.1", "prices": "official-2025-09-05", "api_key": "key"}
TASKS, THREADS = 8, 4
TICK, MOST = 0.005, 50.0
LOCK = """
import sqlite3, sys, time
sys.stdin.readline()
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
database.execute("ROLLBACK")
"""

PRUNE = """
import sys
sys.stdin.readline()
from deepthrift_router.cli import main
main()
"""


async def ready(program: str, *words: str) -> asyncio.subprocess.Process:
    """A process that waits for a line: to start one holds up the loop, and is no matter of the ledger."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )


async def begin(process: asyncio.subprocess.Process) -> None:
    """Has it do its work, and waits for its end."""
    await process.communicate(b"\n")
    if process.returncode:
        raise RuntimeError("a process failed")


class Pauses:
    """The longest pause of the loop, in milliseconds, and how much of it the loop itself was at work."""

    longest = 0.0
    at_work = 0.0

    async def tick(self) -> None:
        last, worked = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(TICK)
            now, work = time.perf_counter(), time.thread_time()
            pause = (now - last - TICK) * 1e3
            if pause > self.longest:
                self.longest, self.at_work = pause, (work - worked) * 1e3
            last, worked = now, work


@contextlib.asynccontextmanager
async def measured(url: str, place: str | Path) -> AsyncIterator[tuple[Pauses, list[int], object]]:
    """Calls that go on in the background, and the pauses meanwhile."""
    from deepthrift import AsyncClient
    from deepthrift.errors import LedgerUnavailable
    from deepthrift_pricing import Budget, Ledger

    pauses, answered = Pauses(), [0]
    ledger = await asyncio.to_thread(Ledger.open, place, budgets=[Budget("9000", per="day")])
    async with AsyncClient(f"{url}/plain/v1", ledger=ledger, **MODEL) as client:

        async def calls() -> None:
            while True:
                with contextlib.suppress(LedgerUnavailable):
                    await client.chat("hello", max_tokens=256, deadline=5.0)
                    answered[0] += 1
                await asyncio.sleep(0.02)

        await client.chat("hello", max_tokens=256)  # what is loaded once is loaded
        answered[0] += 1
        gc.collect()
        gc.freeze()  # a collection of all that was imported is no matter of the ledger
        tasks = [asyncio.create_task(calls()) for _ in range(TASKS)]
        ticker = asyncio.create_task(pauses.tick())
        await asyncio.sleep(0.5)
        yield pauses, answered, client
        await asyncio.sleep(0.5)
        ticker.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(ticker, *tasks, return_exceptions=True)
    await ledger.aclose()


async def locked_file(url: str, seconds: float) -> Pauses:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spend.db")
        process = await ready(LOCK, str(path), str(seconds))
        async with measured(url, path) as (pauses, _, _):
            await begin(process)
        check(path)
        return pauses


async def threads(url: str, seconds: float) -> Pauses:
    """The loop of a sync client is one of its own; this one is the main thread's, which shares the ledger's file."""
    from deepthrift import Client
    from deepthrift.errors import LedgerUnavailable
    from deepthrift_pricing import Ledger

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spend.db")
        over = threading.Event()

        def work() -> None:
            with Ledger.open(path) as ledger, Client(f"{url}/plain/v1", ledger=ledger, **MODEL) as client:
                while not over.is_set():
                    with contextlib.suppress(LedgerUnavailable):
                        client.chat("hello", max_tokens=256, deadline=5.0)

        workers = [threading.Thread(target=work) for _ in range(THREADS)]
        process = await ready(LOCK, str(path), str(seconds))
        async with measured(url, path) as (pauses, _, _):
            for worker in workers:
                worker.start()
            await begin(process)
            over.set()
            for worker in workers:
                await asyncio.to_thread(worker.join)
        check(path)
        return pauses


async def pruning(url: str, rows: int) -> Pauses:
    from deepthrift import Client
    from deepthrift_pricing import Ledger

    def fill(path: Path) -> None:
        with Ledger.open(path) as ledger, Client(f"{url}/plain/v1", ledger=ledger, **MODEL) as client:
            client.chat("hello", max_tokens=256)
        with sqlite3.connect(path) as database:
            names = [column[1] for column in database.execute("PRAGMA table_info(attempts)")]
            changed = {name: f"{name} || '-' || value" for name in ("id", "call_id", "group_id")}
            changed["started_at"] = "started_at - 31536000000000 + value"
            wanted = ", ".join(changed.get(name, name) for name in names)
            numbers = "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
            copies = f"INSERT INTO attempts ({', '.join(names)}) {numbers} SELECT {wanted} FROM attempts, n"
            database.execute(copies, (rows,))
        database.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spend.db")
        await asyncio.to_thread(fill, path)
        process = await ready(PRUNE, "spend", "--prune", "30d", "--yes", "--ledger", str(path))
        async with measured(url, path) as (pauses, _, _):
            await begin(process)
        check(path)
        return pauses


@contextlib.contextmanager
def schema(postgres: str) -> Iterator[str]:
    import psycopg

    name = "deepthrift_pauses"
    sign = "&" if "?" in postgres else "?"
    try:
        yield f"{postgres}{sign}schema={name}&application_name={name}"
    finally:
        with psycopg.connect(postgres, autocommit=True) as database:
            database.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


async def locked_table(url: str, postgres: str, seconds: float) -> Pauses:
    import psycopg

    def lock() -> None:
        with psycopg.connect(postgres) as database:
            database.execute("LOCK TABLE deepthrift_pauses.attempts IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)

    return await on_server(url, postgres, lock)


async def stopped(url: str, postgres: str, seconds: float) -> Pauses:
    import psycopg

    def stop() -> None:
        with psycopg.connect(postgres) as database:
            query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'deepthrift_pauses'"
            pids = [int(row[0]) for row in database.execute(query)]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    return await on_server(url, postgres, stop)


async def on_server(url: str, postgres: str, trouble: Callable[[], None]) -> Pauses:
    with schema(postgres) as place:
        async with measured(url, place) as (pauses, _, _):
            await asyncio.to_thread(trouble)
        await asyncio.to_thread(check, place)
    return pauses


def check(place: str | Path) -> None:
    """Raises if something is left reserved."""
    from deepthrift_pricing import Ledger

    with Ledger.open(place) as ledger:
        left = {row.key["status"]: row.attempts for row in ledger.spend(by=("status",))}
    if left.get("reserved"):
        raise RuntimeError(f"attempts are left reserved: {left}")


def main() -> None:
    options = argparse.ArgumentParser(description="The longest pause of an event loop while a ledger is busy.")
    options.add_argument("--seconds", type=float, default=60.0, help="how long the store is locked or stopped")
    options.add_argument("--rows", type=int, default=300_000, help="how many attempts are pruned")
    options.add_argument("--postgres", help="the URL of a database for tests")
    chosen = options.parse_args()
    heading("Longest pause of an event loop")
    found: dict[str, Pauses] = {}
    with server() as url:
        found["file locked"] = asyncio.run(locked_file(url, chosen.seconds))
        if chosen.postgres:
            found["table locked"] = asyncio.run(locked_table(url, chosen.postgres, chosen.seconds))
            found["backends stopped"] = asyncio.run(stopped(url, chosen.postgres, chosen.seconds))
        found["another process prunes"] = asyncio.run(pruning(url, chosen.rows))
        found["file locked, clients in threads"] = asyncio.run(threads(url, chosen.seconds))
    rows = [[name, f"{pauses.longest:.1f}", f"{pauses.at_work:.1f}"] for name, pauses in found.items()]
    table(["", "longest pause, ms", "at work, ms"], rows)
    verdict("longest pause", max(pauses.longest for pauses in found.values()), MOST, "ms")


if __name__ == "__main__":
    main()
