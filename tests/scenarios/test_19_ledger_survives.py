"""19. The ledger survives kill -9 and a graceful stop under load without losing a row; budgets resume from it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Attempt, Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, REFERENCE_WORST, ask, booked
from tests.support.waiting import PATIENCE

LEASE = 1.0
AWAITED = """
import asyncio, sys
from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from tests.support.doors import PROMPT, settings, through_async

async def main():
    url, path = sys.argv[1:]
    with Ledger.open(f"sqlite:///{path}", lease=1.0) as ledger:
        async with AsyncClient(**settings(url, ledger=ledger)) as client:
            async def work(number):
                while True:
                    await through_async(client, PROMPT, streamed=number % 2 == 0, mode="thinking", max_tokens=500)
            await asyncio.gather(*[work(number) for number in range(16)])

asyncio.run(main())
"""
THREADS = """
import sys, threading
from deepthrift import Client
from deepthrift_pricing import Ledger
from tests.support.doors import PROMPT, settings, through_sync

url, path = sys.argv[1:]
with Ledger.open(f"sqlite:///{path}", lease=1.0) as ledger, Client(**settings(url, ledger=ledger)) as client:
    def work(number):
        while not stop.is_set():
            through_sync(client, PROMPT, streamed=number % 2 == 0, mode="thinking", max_tokens=500)
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        threads[0].join()
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join()
"""
PROGRAMS = {"awaited": AWAITED, "threads": THREADS}


async def _load(server: BillServer, program: str, path: Path, calls: int) -> subprocess.Popen[bytes]:
    """A process under load that has been answered at least `calls` times."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[program], server.url, str(path)], stderr=subprocess.DEVNULL
    )
    await server.until(lambda s: len(s.bill) >= calls or process.poll() is not None)
    assert process.poll() is None
    return process


def _later() -> datetime:
    """Now, once every lease has run out."""
    return datetime.now(UTC) + timedelta(seconds=2 * LEASE)


def _check(path: Path, server: BillServer) -> list[Attempt]:
    """Every request that the provider saw has its row, and no more is missing than nothing."""
    budgets = [Budget("100", per="total")]
    with Ledger.open(f"sqlite:///{path}", budgets=budgets, lease=LEASE, clock=_later) as ledger:
        ledger.sweep()
        attempts = ledger.attempts()
        assert len(attempts) >= len(server.requests)
        settled = [attempt for attempt in attempts if attempt.status == "settled" and attempt.cost.certainty == "exact"]
        assert all(attempt.cost.amount == REFERENCE_COST for attempt in settled)
        assert len(settled) <= len(server.bill)
        unsure = [attempt for attempt in attempts if attempt.cost.certainty != "exact"]
        assert len(settled) + len(unsure) >= len(server.requests)
        assert all(0 < attempt.cost.amount <= REFERENCE_WORST for attempt in unsure)
        assert booked(ledger) >= server.bill.total
        [status] = ledger.budget_status()
        assert status.spent.amount == booked(ledger)
        assert not status.reserved
        return attempts


@pytest.mark.parametrize("program", PROGRAMS)
async def test_kill_9_under_load_loses_no_row(program: str, tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(REFERENCE.but(merge=100, delay=0.002)) as server:
        process = await _load(server, program, path, 60)
        process.kill()
        process.wait()
        await server.wait_quiet(connections=0)
    _check(path, server)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
async def test_kill_9_again_and_again_on_one_file_loses_no_row(program: str, tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(REFERENCE.but(merge=100, delay=0.002)) as server:
        for calls in (20, 77, 150, 230, 310):
            process = await _load(server, program, path, calls)
            process.kill()
            process.wait()
            await server.wait_quiet(connections=0)
    _check(path, server)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes")
@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_graceful_stop_under_load_leaves_nothing_open(program: str, tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(REFERENCE.but(merge=100, delay=0.002)) as server:
        process = await _load(server, program, path, 60)
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.wait, PATIENCE)
        await server.wait_quiet(connections=0)
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert not [attempt.id for attempt in ledger.attempts() if attempt.status == "reserved"]
    _check(path, server)


async def test_budgets_resume_from_what_a_killed_process_left(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    async with BillServer(REFERENCE.but(merge=100, delay=0.002)) as server:
        process = await _load(server, "awaited", path, 20)
        process.kill()
        process.wait()
        await server.wait_quiet(connections=0)
        before = len(server.requests)
        limit = server.bill.total
        with Ledger.open(f"sqlite:///{path}", budgets=[Budget(str(limit), per="total")], lease=LEASE) as ledger:
            with pytest.raises(BudgetExceeded):
                await ask(
                    "async", server, mode="thinking", max_tokens=500, client={"ledger": ledger, "budget_wait": 0.0}
                )
            assert len(server.requests) == before
