"""43, in part. A facade with budgets and no ledger keeps them across restarts and workers."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer

ROOT = Path(__file__).resolve().parents[2]
ANSWER = Answer("Paris.", prompt_tokens=20, text_tokens=5)
SERVICE = """
import json, sys, warnings
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget
from deepthrift_router.compat import OpenAI
from tests.support.doors import prices

def run(url, calls=20):
    answered = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {"host": "vllm", "prices": prices(), "budgets": [Budget("0.0002", per="total")]}
        with OpenAI(base_url=url, api_key="k", **options) as client:
            for _ in range(calls):
                message = {"role": "user", "content": "What is the capital of France?"}
                try:
                    client.chat.completions.create(model="deepseek-chat", messages=[message], max_tokens=32)
                except BudgetExceeded:
                    continue
                answered += 1
            return answered, client.ledger.url, [str(each.message) for each in caught]
"""
ALONE = SERVICE + "\nprint(json.dumps(run(sys.argv[1])))\n"
WORKERS = (
    SERVICE
    + """
if __name__ == "__main__":
    import multiprocessing
    context = multiprocessing.get_context(sys.argv[2])
    workers = int(sys.argv[3])
    with context.Pool(workers) as pool:
        print(json.dumps(pool.map(run, [sys.argv[1]] * workers, chunksize=1)))
"""
)


def start(folder: Path, home: Path, *arguments: str, **environment: str) -> object:
    """What the service in `folder` says."""
    told = {**os.environ, "PYTHONPATH": str(ROOT), "DEEPTHRIFT_HOME": str(home), **environment}
    told = {name: value for name, value in told.items() if name != "DEEPTHRIFT_LEDGER" or name in environment}
    command = [sys.executable, str(folder / "service.py"), *arguments]
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def service(folder: Path, code: str = ALONE) -> Path:
    folder.mkdir()
    (folder / "service.py").write_text(code)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_four_workers_share_one_budget_and_a_restart_forgets_nothing(way: str, tmp_path: Path) -> None:
    shop = service(tmp_path / "shop", WORKERS)
    with BillServer(ANSWER) as server:
        told = start(shop, tmp_path / "home", server.url, way, "4")
        assert isinstance(told, list)
        assert sum(answered for answered, *_ in told) == len(server.requests) > 0
        assert server.bill.total <= Decimal("0.0002")
        before = len(server.requests)
        again = start(shop, tmp_path / "home", server.url, way, "1")
        assert isinstance(again, list)
        assert [answered for answered, *_ in again] == [0]
        assert len(server.requests) == before
    [url] = {url for _, url, _ in (*told, *again)}
    path = Path(url)
    assert path.parent.parent == tmp_path / "home"
    assert path.name.startswith("shop-")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for _, _, warnings in told:
        [said] = [each for each in warnings if "every process of this application" in each]
        assert str(path) in said
    with Ledger.open(path) as ledger:
        assert sum(row.refused for row in ledger.refusals()) == 5 * 20 - before


@pytest.mark.slow
def test_two_applications_share_nothing_and_a_ledger_that_is_named_wins(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shop, other = service(tmp_path / "shop"), service(tmp_path / "other")
    with BillServer(ANSWER) as server:
        first, second = start(shop, home, server.url), start(other, home, server.url)
        assert isinstance(first, list)
        assert isinstance(second, list)
        assert first[0] == second[0] > 0
        assert first[1] != second[1]
        named = start(shop, home, server.url, DEEPTHRIFT_LEDGER=str(tmp_path / "named.db"))
        assert isinstance(named, list)
        assert named == [first[0], str(tmp_path / "named.db"), []]
