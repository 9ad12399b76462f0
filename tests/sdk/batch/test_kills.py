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
