"""Several processes on one file: one budget for all of them, and no row lost when they are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from tests.pricing.ledgers import BILL, WORST, spent

ROOT = Path(__file__).parents[2]

CROWD = """
import asyncio, json, sys
from pathlib import Path
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import settle, wanted

path, name, calls, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]

async def main():
    with Ledger.open(path, budgets=[Budget(limit, per="total")]) as ledger:
        async def call(number):
            id_ = f"{name}-{number}"
            try:
                attempt = await ledger.reserve(wanted(attempt=id_, call=id_))
            except BudgetExceeded:
                return "refused"
            await asyncio.sleep(0.01)
            settle(ledger, attempt.id)
            return "answered"
        print(json.dumps(await asyncio.gather(*(call(number) for number in range(calls)))))

asyncio.run(main())
"""


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process, killed in the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("calls", "limit"),
    [(16, "0.01"), pytest.param(64, "0.1", marks=pytest.mark.slow), pytest.param(250, "0.2", marks=pytest.mark.slow)],
)
def test_four_processes_share_one_budget(tmp_path: Path, calls: int, limit: str) -> None:
    path = tmp_path / "spend.db"
    Ledger.open(path).close()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(running(CROWD, str(path), f"p{number}", str(calls), limit)) for number in range(4)]
        results: list[str] = []
        for process in crowd:
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
            results += json.loads(out)
    answered = results.count("answered")
    fit = 1 + int((Decimal(limit) - Decimal(WORST)) / Decimal(BILL))
    assert answered == fit
    with Ledger.open(path, budgets=[Budget(limit, per="total")]) as ledger:
        assert spent(ledger) == Money.of(BILL) * answered <= Money.of(limit)
        [status] = ledger.budget_status()
        assert (status.spent, status.reserved) == (Money.of(BILL) * answered, Money(0))


VICTIM = """
import sys, threading, time
from pathlib import Path
from deepthrift_pricing import Budget, Ledger
from tests.pricing.ledgers import settle, wanted

path, name = Path(sys.argv[1]), sys.argv[2]
# Every step is written down with one system call before and after it is booked: what the provider would know.
diary = open(sys.argv[3], "ab", buffering=0)
ledger = Ledger.open(path, budgets=[Budget("9000", per="day")], lease=3600)

def work(thread):
    for number in range(10_000):
        id_ = f"{name}-{thread}-{number}"
        ledger.try_reserve(wanted("0.002", attempt=id_, call=id_))
        diary.write(f"sent {id_}\\n".encode())
        settle(ledger, id_, "0.001")
        diary.write(f"settled {id_}\\n".encode())

threads = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(2)]
for thread in threads:
    thread.start()
diary.write(b"started\\n")
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 there")
def test_200_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Whatever was sent is in the ledger: settled exactly, or held at its worst case; and the counts equal the rows."""
    path, diary = tmp_path / "spend.db", tmp_path / "diary"
    Ledger.open(path).close()
    random.seed(31)
    kills = 0
    for generation in range(100):
        diary.touch()
        with contextlib.ExitStack() as stack:
            size = diary.stat().st_size
            pair = [
                stack.enter_context(running(VICTIM, str(path), f"g{generation}{side}", str(diary))) for side in "ab"
            ]
            deadline = time.monotonic() + 60
            while b"started" not in diary.read_bytes()[size:] and time.monotonic() < deadline:
                time.sleep(0.005)
            for process in pair:
                time.sleep(random.uniform(0, 0.05))
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    assert kills == 200
    steps = [line.split() for line in diary.read_text().splitlines()]
    sent = {step[1] for step in steps if step[0] == "sent"}
    settled = {step[1] for step in steps if step[0] == "settled"}
    assert len(settled) > 200
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Ledger.open(path, budgets=[Budget("9000", per="day"), Budget("9000", per="total")], lease=3600) as ledger:
        rows = {attempt.id: attempt for attempt in ledger.attempts()}
        assert sent <= rows.keys()
        assert all(rows[id_].status == "settled" and rows[id_].cost.total == Money.of("0.001") for id_ in settled)
        assert {row.status for row in rows.values()} <= {"settled", "reserved"}
        open_rows = [row for row in rows.values() if row.status == "reserved"]
        assert len(open_rows) <= 4 * 100  # two threads in each process
        for status in ledger.budget_status():
            assert status.spent == Money.of("0.001") * (len(rows) - len(open_rows))
            assert status.reserved == Money.of("0.002") * len(open_rows)
