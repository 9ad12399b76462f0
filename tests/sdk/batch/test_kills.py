"""A batch that is killed again and again loses no row, and knowingly pays for none twice."""

from __future__ import annotations

import random
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger
from tests.cli.processes import deepthrift, running
from tests.sdk.batch.files import last_lines, row, write_rows
from tests.sdk.batch.native_server import BatchService
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import booked

ROWS = 60
CONCURRENCY = 4


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", [row(f"r{n}", f"Question {n}?") for n in range(ROWS)])
    out, ledger = tmp_path / "out.jsonl", tmp_path / "spend.db"
    chance = random.Random(7)
    with BillServer(Answer("Yes.", delay=0.02, hold=0.02)) as server:
        env = {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "vllm", "DEEPTHRIFT_LEDGER": str(ledger)}
        args = (
            "batch",
            "run",
            str(source),
            str(out),
            "--prices",
            "official-2025-09-05",
            "--concurrency",
            str(CONCURRENCY),
        )
        kills = 0
        while len(server.requests) < ROWS - 15:
            target = len(server.requests) + chance.randint(6, 14)
            with running(*args, env=env) as command:
                server.wait_for(lambda each, target=target: len(each.requests) >= target, timeout=60)
                command.send(signal.SIGKILL)
                command.end()
            server.quiet()
            kills += 1
            asked = Counter(request.question for request in server.requests)
            assert set(asked.values()) == {1}, "paid twice"
        ended = deepthrift(*args, env=env)
        assert ended.code in (0, 1), ended.err
        server.quiet()

        lines = last_lines(out)
        assert len(lines) == ROWS, "a row was lost"
        outcomes = Counter(line["deepthrift"]["outcome"] for line in lines.values())
        assert set(outcomes) <= {"answered", "unanswered"}
        assert outcomes["unanswered"] <= kills * CONCURRENCY
        assert kills >= 3
        asked = Counter(request.question for request in server.requests)
        assert set(asked.values()) == {1}, "paid twice"
        known = sum(Decimal(line["deepthrift"]["cost"] or 0) for line in lines.values())
        with Ledger.open(ledger) as opened:
            assert known <= server.bill.total <= booked(opened), "something billed is not booked"

        again = deepthrift(*args, "--retry-unanswered", env=env)
        assert again.code == 0, again.err
        assert {line["deepthrift"]["outcome"] for line in last_lines(out).values()} == {"answered"}
        assert len(server.requests) <= ROWS + outcomes["unanswered"]


@pytest.mark.slow
def test_killed_while_it_is_submitted(tmp_path: Path) -> None:
    """The host has begun the batch, and the process dies before it knows: it is found, and not begun again."""
    source = write_rows(tmp_path / "in.jsonl", [row("a"), row("b", mode="thinking")])
    out, ledger, prices = tmp_path / "out.jsonl", tmp_path / "spend.db", tmp_path / "prices.toml"
    prices.write_text(
        'host = "openai"\nsource = "a contract"\nchecked = 2026-11-01\ndecided_by = "start"\n'
        '[[price]]\nid = "half"\nmodels = ["*"]\ntier = "batch"\nvalid_from = 2025-01-01T00:00:00Z\n'
        'usd = ["0.035", "0.28", "0.84"]\n'
    )
    with BatchService() as service:
        env = {
            "DEEPTHRIFT_URL": service.url,
            "DEEPTHRIFT_HOST": "openai",
            "DEEPTHRIFT_LEDGER": str(ledger),
            "DEEPTHRIFT_PRICES": str(prices),
        }
        service.stall.clear()
        with running("batch", "submit", str(source), str(out), env=env) as command:
            command.until(lambda: bool(service.batches))
            command.send(signal.SIGKILL)
            command.end()
        service.stall.set()
        again = deepthrift("batch", "submit", str(source), str(out), env=env)
        assert again.code == 0, again.err
        assert again.out.startswith("batch-0:")
        fetched = deepthrift("batch", "fetch", str(out), env=env)
        assert fetched.code == 0, fetched.err
        assert len(service.batches) == 1
        with Ledger.open(ledger) as opened:
            assert booked(opened) == service.bill
            assert {attempt.status for attempt in opened.attempts()} == {"settled"}
