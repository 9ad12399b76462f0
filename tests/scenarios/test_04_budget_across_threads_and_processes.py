"""4. The same budget holds from 64 threads, and from four processes that share one SQLite file or one PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import Client
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.crowds import check_held, crowd, fits
from tests.support.databases import store_url
from tests.support.doors import PROMPT, REFERENCE, REFERENCE_COST, booked, settings

WORKER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from deepthrift import Client
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from tests.support.doors import PROMPT, settings

url, path = sys.argv[1:]
with Ledger.open(f"sqlite:///{path}", budgets=[Budget("0.01", per="total")]) as ledger:
    with Client(**settings(url, ledger=ledger)) as client:
        def call(number):
            try:
                client.chat(PROMPT, mode="thinking", max_tokens=500)
            except BudgetExceeded:
                return "refused"
            return "answered"
        with ThreadPoolExecutor(16) as pool:
            print(json.dumps(list(pool.map(call, range(16)))))
"""


def test_64_threads_share_one_budget() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.01", per="total")])
    with (
        BillServer(REFERENCE.but(delay=0.05)) as server,
        Client(**settings(server, ledger=ledger)) as client,
        ThreadPoolExecutor(64) as pool,
    ):

        def call(_: int) -> str:
            try:
                client.chat(PROMPT, mode="thinking", max_tokens=500)
            except BudgetExceeded:
                return "refused"
            return "answered"

        results = list(pool.map(call, range(64)))
    assert results.count("answered") == 7
    assert server.bill.total == booked(ledger) == REFERENCE_COST * 7
    assert server.bill.total <= Decimal("0.01")
    ledger.close()


def test_four_processes_share_one_budget_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    with BillServer(REFERENCE.but(delay=0.05)) as server:
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, server.url, str(path)], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        results: list[str] = []
        for worker in workers:
            out, _ = worker.communicate(timeout=90)
            assert worker.returncode == 0
            results += json.loads(out)
    assert len(results) == 64
    assert results.count("answered") == len(server.requests) == 7
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert booked(ledger) == server.bill.total == REFERENCE_COST * 7
        assert {attempt.status for attempt in ledger.attempts()} == {"settled"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_four_processes_with_64_calls_each_share_one_budget(tmp_path: Path, kind: str) -> None:
    limit = "0.1"
    with store_url(kind, tmp_path) as url, BillServer(REFERENCE.but(delay=0.05)) as server:
        results = crowd(server, url, limit, processes=4, calls=64)
        assert (len(results), set(results)) == (256, {"answered", "refused"})
        with Ledger.open(url, budgets=[Budget(limit, per="total")]) as ledger:
            check_held(server, ledger, limit, results)
        assert results.count("answered") == fits(limit)
