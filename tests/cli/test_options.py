"""Options that are wrong, or that nothing would read, are refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.bill_server import Answer, BillServer

RATES = ("--prices", "official-2025-09-05")
LOAD = ("--requests", "1", "--prompt", "1", "--completion", "1")


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer("4")) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer) -> dict[str, str]:
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "deepseek"}


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("price", "--prices", "brief", "explain", "--prompt", "1", "--completion", "1"), "--prices"),
        (("models", "--json", "list"), "--json"),
        (("budget", "--ledger", "x.db", "show"), "--ledger"),
        (("spend", "--prices", "brief"), "--prices"),
        (("spend", "--yes"), "--yes"),
        (("spend", "--billed", "1", "--column", "amount"), "--column"),
        (("doctor", "--yes"), "--yes"),
        (("doctor", "--offline", "--probe", "http://127.0.0.1:9/v1"), "--offline"),
        (("calibrate", "--list", "--dry-run"), "--dry-run"),
        (("calibrate", "--rollback", "--samples", "2"), "--samples"),
        (("plan", "--prompt-tokens-per-second", "5", *LOAD, "--gpu-hour", "1"), "--gpus"),
    ],
)
def test_what_nothing_would_read_is_refused(run: Run, args: tuple[str, ...], named: str) -> None:
    ran = run(*args)
    assert ran.code == 2, ran.out
    assert named in ran.err + ran.out


def test_what_belongs_to_a_live_evaluation_is_refused_without_it(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("{}\n")
    for args in (("--at-once", "2"), ("--url", "http://127.0.0.1:9/v1"), ("--tag", "a=b"), ("--budget", "1")):
        ran = run("evaluate", str(data), *args)
        assert (ran.code, f"{args[0]} goes with --live" in ran.err) == (2, True)
    three = [word for name in "abc" for word in ("--cross-check", name)]
    for command in ("evaluate", "calibrate"):
        ran = run(command, str(data), *three)
        assert (ran.code, "not 3 times" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "args",
    [
        ("ask", "--url", "http://[::1", "Hi"),
        ("ask", "--ask-key", "--api-key-env", "HOME", "--url", "http://127.0.0.1:9", "Hi"),
        ("dashboard", "--past", "²d"),
        ("spend", "--since", "²d"),
        ("spend", "--since", "0001-01-01T00:00+14:00"),
        ("budget", "set", "1", "--per", "²d"),
        ("plan", *LOAD, "--gpu-hour", "1e400"),
        ("calibrate", "--max-quality-loss", "5"),
    ],
)
def test_values_that_are_none_are_wrong_usage(run: Run, args: tuple[str, ...]) -> None:
    ran = run(*args)
    assert (ran.code, "a bug" in ran.err) == (2, False), ran.err


def test_files_that_are_wrong_are_wrong_input(run: Run, tmp_path: Path, env: dict[str, str]) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"\xff\xfe=")
    for args in (
        ("count", "--file", str(wrong)),
        ("count", "--messages", str(wrong)),
        ("chat", "--resume", str(wrong)),
        ("ask", "--prices", str(wrong), "Hi"),
        ("collect", str(wrong), str(tmp_path / "out.jsonl"), "--budget", "many"),
    ):
        ran = run(*args, env=env)
        assert (ran.code, "a bug" in ran.err) == (2, False), ran.err


def test_a_doctor_looks_at_the_ledger_that_was_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("doctor", "--offline", "--json", "--ledger", str(tmp_path / "file" / "spend.db"))
    found = {check["name"]: check["status"] for check in ran.json["checks"]}
    assert (ran.code, found["ledger"]) == (1, "fail")
    named = tmp_path / "named.db"
    run("doctor", "--offline", "--ledger", str(named))
    assert named.exists()


def test_an_engine_with_wrong_settings_fetches_no_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("a model was fetched")

    monkeypatch.setattr("deepthrift_router.cli._shared.connect.fetch", fetched)
    assert run("engine", "serve", "--slots", "0").code == 2
    assert run("engine", "serve", "--lan").code == 2
    for wrong in (("--hour", "abc"), ("--hour", "0"), ("--hour", "1", "--utilisation", "2"), ("--out", "mine.toml")):
        assert run("models", "measure", *wrong).code == 2


def test_a_dashboard_of_no_zone_is_not_served(run: Run) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("matplotlib")
    ran = run("dashboard", "--zone", "Nowhere", "--no-open")
    assert (ran.code, "Nowhere" in ran.err) == (2, True)
