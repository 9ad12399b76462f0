"""`deepthrift batch run` against a server that keeps the true bill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_router.cli._batches import run as _batching
from tests.cli.conftest import Run
from tests.cli.processes import running
from tests.sdk.batch.files import last_lines, read_lines, row, write_rows
from tests.sdk.batch.native_server import BatchService
from tests.support.bill_server import Answer, BillServer, Failure

KEY = "sk-very-secret-key"
RATES = ("--prices", "official-2025-09-05")


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer("The capital is Paris."), key=KEY) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer) -> dict[str, str]:
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_API_KEY": KEY, "DEEPTHRIFT_HOST": "deepseek"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    source = write_rows(tmp_path / "in.jsonl", [row("a"), row("b", mode="thinking"), row("c")])
    return str(source), str(tmp_path / "out.jsonl")


def test_every_row_is_answered_and_told(
    run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str]
) -> None:
    ran = run("batch", "run", *files, *RATES, env=env)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("3 rows: 3 answered · $")
    assert "\x1b" not in ran.out + ran.err
    again = run("batch", "run", *files, *RATES, "--json", env=env)
    assert again.code == 0
    told = again.json
    assert (told["rows"], told["answered"], told["run_rows"], told["stopped"]) == (3, 3, 0, None)
    assert Decimal(told["spend"]["amount"]) == server.bill.total
    assert set(last_lines(Path(files[1]))) == {"a", "b", "c"}
    assert len(server.requests) == 3


def test_progress_is_plain_lines_in_a_pipe(
    run: Run, env: dict[str, str], files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_batching, "_TELL_EVERY", 0.0)
    ran = run("batch", "run", *files, *RATES, "--concurrency", "1", env=env)
    assert ran.code == 0
    told = [line for line in ran.err.splitlines() if " rows" in line]
    assert told[0] == "0/3 rows"
    assert told[1].startswith("1/3 rows · $0.0000")
    assert told[1].endswith(" left")
    assert told[3].startswith("3/3 rows · $")
    assert "\x1b" not in ran.err


def test_auto_goes_through_the_router(
    run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str]
) -> None:
    ran = run("batch", "run", *files, *RATES, "--mode", "auto", env=env)
    assert ran.code == 0, ran.err
    lines = last_lines(Path(files[1]))
    assert {name: "decision" in line["deepthrift"] for name, line in lines.items()} == {
        "a": True,
        "b": False,
        "c": True,
    }


def test_the_dry_run_sends_nothing(run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str]) -> None:
    ran = run("batch", "run", *files, *RATES, "--dry-run", "--expected-tokens", "20", env=env)
    assert ran.code == 0, ran.err
    assert "3 rows; nothing was sent" in ran.out
    told = run("batch", "run", *files, *RATES, "--dry-run", "--json", env=env).json
    assert [(mode["mode"], mode["rows"], mode["exact"]) for mode in told["modes"]] == [
        ("standard", 2, True),
        ("thinking", 1, True),
    ]
    assert told["likely"] is None
    assert Decimal(told["worst"]["amount"]) > 0
    routed = run("batch", "run", *files, *RATES, "--dry-run", "--mode", "auto", env=env)
    assert "The router chooses the mode of 2 rows" in routed.out
    assert not server.requests
    assert not Path(files[1]).exists()


def test_wrong_input_and_missing_answers_have_exit_codes(
    run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str], tmp_path: Path
) -> None:
    bad = write_rows(tmp_path / "bad.jsonl", [row("a"), {"custom_id": "b"}])
    ran = run("batch", "run", str(bad), files[1], *RATES, env=env)
    assert ran.code == 2
    assert "line 2: body is a JSON object" in ran.err
    assert run("batch", "run", "none.jsonl", files[1], env=env).code == 2
    server.script = [Failure(422, "no"), Answer()]
    ran = run("batch", "run", *files, *RATES, "--concurrency", "1", env=env)
    assert ran.code == 1
    assert "2 answered, 1 failed" in ran.out
    assert "--retry-failed" in ran.err
    assert run("batch", "run", *files, *RATES, "--retry-failed", env=env).code == 0
    assert run("batch", "run", *files, *RATES, "--mode", "thinking", env=env).code == 2


def test_a_budget_stops_it_with_its_exit_code(
    run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str], tmp_path: Path
) -> None:
    assert run("budget", "set", "0.0003", "--per", "total").code == 0
    source = write_rows(tmp_path / "many.jsonl", [row(str(number)) for number in range(60)])
    ran = run("batch", "run", str(source), files[1], *RATES, "--json", env=env)
    assert ran.code == 3
    told = ran.json
    assert told["stopped"]["type"] == "BudgetExceeded"
    assert 0 < told["answered"] == len(read_lines(Path(files[1]))) < 60
    assert server.bill.total <= Decimal("0.0003")
    plain = run("batch", "run", str(source), files[1], *RATES, env=env)
    assert plain.code == 3
    assert "error: the worst case of the call" in plain.err
    assert run("budget", "set", "1", "--per", "total").code == 0
    assert run("batch", "run", str(source), files[1], *RATES, env=env).code == 0
    assert len(server.requests) == 60


def test_an_interrupt_finishes_what_is_under_way(
    server: BillServer, env: dict[str, str], files: tuple[str, str], tmp_path: Path
) -> None:
    stopping = threading.Event()
    server.script = Answer(admission=stopping)
    source = write_rows(tmp_path / "many.jsonl", [row(str(number)) for number in range(40)])
    args = ("batch", "run", str(source), files[1], *RATES, "--concurrency", "2")
    with running(*args, env=env) as command:
        server.wait_for(lambda each: each.in_flight == 2)
        command.send(signal.SIGINT)
        command.until(lambda: "finishing what is under way" in command.err)
        stopping.set()
        ran = command.end()
    assert ran.code == 130, ran.err
    assert "finishing what is under way" in ran.err
    assert "38 rows were not begun" in ran.err
    assert len(read_lines(Path(files[1]))) == len(server.requests) == 2
    assert all(line["deepthrift"]["outcome"] == "answered" for line in read_lines(Path(files[1])))


def test_a_second_process_is_refused(
    run: Run, server: BillServer, env: dict[str, str], files: tuple[str, str], tmp_path: Path
) -> None:
    server.script = Answer(delay=30)
    with running("batch", "run", *files, *RATES, env=env) as command:
        server.wait_for(lambda each: each.in_flight == 3)
        ran = run("batch", "run", *files, *RATES, env=env)
        command.send(signal.SIGKILL)
        command.end()
    assert ran.code == 2
    assert "another process is writing" in ran.err
    server.script = Answer()
    ran = run("batch", "run", *files, *RATES, env=env)
    assert ran.code == 1
    assert "3 unanswered" in ran.out
    assert len(server.requests) == 3


def test_the_hosts_own_service(run: Run, files: tuple[str, str], tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(
        'host = "openai"\nsource = "a contract"\nchecked = 2026-11-01\ndecided_by = "start"\n'
        '[[price]]\nid = "half"\nmodels = ["*"]\ntier = "batch"\nvalid_from = 2025-01-01T00:00:00Z\n'
        'usd = ["0.035", "0.28", "0.84"]\n'
    )
    with BatchService(looks=2) as service:
        env = {"DEEPTHRIFT_URL": service.url, "DEEPTHRIFT_HOST": "openai", "DEEPTHRIFT_PRICES": str(prices)}
        estimate = run("batch", "submit", *files, "--dry-run", "--json", env=env).json
        assert [mode["rows"] for mode in estimate["modes"]] == [2, 1]
        assert not service.requests
        ran = run("batch", "submit", *files, env=env)
        assert ran.code == 0, ran.err
        assert Decimal(estimate["worst"]["amount"]) > service.bill > 0
        assert ran.out == "batch-0: validating, 0 of 3 answered\n"
        assert run("batch", "status", files[1], "--json", env=env).json["state"] == "in_progress"
        ran = run("batch", "fetch", files[1], env=env)
        assert ran.code == 2
        assert "fetch it when it has ended" in ran.err
        ran = run("batch", "fetch", files[1], "--wait", "--poll", "0.01", env=env)
        assert ran.code == 0, ran.err
        assert ran.out.startswith("3 rows: 3 answered · $")
        assert "batch-0: completed, 3 of 3 answered" in ran.err
        told = run("batch", "fetch", files[1], "--json", env=env).json
        assert Decimal(told["spend"]["amount"]) == service.bill
        rows = run("spend", "--by", "tag:tier", "--json").json["rows"]
        assert [(row["key"]["tag:tier"], Decimal(row["total"]["amount"])) for row in rows] == [("batch", service.bill)]
        assert run("batch", "submit", *files, env=env).code == 2
        assert run("batch", "cancel", files[1], env=env).out.startswith("batch-0: cancelling")
    assert set(last_lines(Path(files[1]))) == {"a", "b", "c"}
