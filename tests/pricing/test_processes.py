"""Several processes on one file: one budget for all of them, and no row lost when they are killed."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from tests.pricing.ledgers import BILL, WORST, spent
from tests.support.databases import store_url

ROOT = Path(__file__).parents[2]

CROWD = """
import asyncio, json, sys
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import settle, wanted
from tests.support.waiting import turns

url, name, calls, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

async def main():
    with Ledger.open(url, budgets=[Budget(limit, per="total")]) as ledger:
        async def call(number):
            id_ = f"{name}-{number}"
            try:
                attempt = await ledger.reserve(wanted(attempt=id_, call=id_))
            except BudgetExceeded:
                return "refused"
            await turns()
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
    ("kind", "calls", "limit"),
    [
        ("sqlite", 16, "0.01"),
        pytest.param("sqlite", 64, "0.1", marks=pytest.mark.slow),
        pytest.param("sqlite", 250, "0.2", marks=pytest.mark.slow),
        pytest.param("postgres", 64, "0.1", marks=pytest.mark.slow),
        pytest.param("postgres", 250, "0.2", marks=pytest.mark.slow),
    ],
)
def test_four_processes_share_one_budget(tmp_path: Path, kind: str, calls: int, limit: str) -> None:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(store_url(kind, tmp_path))
        Ledger.open(url).close()
        crowd = [stack.enter_context(running(CROWD, url, f"p{number}", str(calls), limit)) for number in range(4)]
        results: list[str] = []
        for process in crowd:
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
            results += json.loads(out)
        answered = results.count("answered")
        assert answered == 1 + int((Decimal(limit) - Decimal(WORST)) / Decimal(BILL))
        with Ledger.open(url, budgets=[Budget(limit, per="total")]) as ledger:
            assert spent(ledger) == Money.of(BILL) * answered <= Money.of(limit)
            [status] = ledger.budget_status()
            assert (status.spent, status.reserved) == (Money.of(BILL) * answered, Money(0))


KILLER = """
import os, random, signal, sys, threading, time
from pathlib import Path
from deepthrift_pricing import Budget, Ledger
from tests.pricing.ledgers import settle, wanted

path, kills = Path(sys.argv[1]), int(sys.argv[3])
# Every step is written down with one system call, after it is booked: what the provider would know of it.
diary = open(sys.argv[2], "ab", buffering=0)

def victim(name):
    ledger = Ledger.open(path, budgets=[Budget("9000", per="day")], lease=3600)

    def work(thread):
        for number in range(10_000):
            id_ = f"{name}-{thread}-{number}"
            ledger.try_reserve(wanted("0.002", attempt=id_, call=id_))
            diary.write(f"sent {id_}\\n".encode())
            settle(ledger, id_, "0.001")
            diary.write(f"settled {id_}\\n".encode())

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

random.seed(31)
for number in range(0, kills, 2):
    pair = []
    for side in "ab":
        child = os.fork()
        if child == 0:
            try:
                victim(f"{number}{side}")
            finally:
                os._exit(1)
        pair.append(child)
    for child in pair:
        time.sleep(random.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
    for child in pair:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_200_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Whatever was sent is in the ledger: settled exactly, or held at its worst case; and the counts equal the rows."""
    path, diary = tmp_path / "spend.db", tmp_path / "diary"
    Ledger.open(path).close()
    with running(KILLER, str(path), str(diary), "200") as killer:
        _, err = killer.communicate(timeout=280)
        assert killer.returncode == 0, err
    steps = [line.split() for line in diary.read_text().splitlines()]
    sent = {step[1] for step in steps if step[0] == "sent"}
    settled = {step[1] for step in steps if step[0] == "settled"}
    assert len(settled) > 200
    assert len(sent) > len(settled)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Ledger.open(path, budgets=[Budget("9000", per="day"), Budget("9000", per="total")], lease=3600) as ledger:
        rows = {attempt.id: attempt for attempt in ledger.attempts()}
        assert sent <= rows.keys()
        assert all(rows[id_].status == "settled" and rows[id_].cost.total == Money.of("0.001") for id_ in settled)
        assert {row.status for row in rows.values()} <= {"settled", "reserved"}
        in_flight = [row for row in rows.values() if row.status == "reserved"]
        assert len(in_flight) <= 2 * 200  # two threads in each process
        for status in ledger.budget_status():
            assert status.spent == Money.of("0.001") * (len(rows) - len(in_flight))
            assert status.reserved == Money.of("0.002") * len(in_flight)
