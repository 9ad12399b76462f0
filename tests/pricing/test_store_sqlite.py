"""The SQLite store when things go wrong: full disks, locks, strange files, forks. Nothing is half-written or lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_pricing._store.schema import VERSION
from deepthrift_pricing._store.sqlite import SqliteStore
from deepthrift_pricing.errors import LedgerClosed, LedgerError, LedgerUnavailable
from tests.pricing.ledgers import BILL, NOON, WORST, cost, settle, spent, wanted
from tests.support.waiting import turns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spend.db"


@contextlib.contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_the_file_is_in_wal_mode_and_names_its_version(path: Path) -> None:
    with Ledger.open(path) as ledger, raw(path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        attempt = ledger.try_reserve(wanted(tags={"team": "search"}))
        row = database.execute(
            "SELECT status, reserved_pico, tags FROM attempts WHERE id = ?", (attempt.id,)
        ).fetchone()
        assert row == ("reserved", Money.of(WORST).pico, '{"team":"search"}')


def test_amounts_are_integers_of_a_trillionth(path: Path) -> None:
    with Ledger.open(path, budgets=[Budget("1", per="day")]) as ledger:
        settle(ledger, ledger.try_reserve(wanted()).id)
    with raw(path) as database:
        for table in ("attempts", "budget_windows"):
            for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall():
                if name.endswith("_pico") and name != "requests_pico":  # nothing is billed per request here
                    kinds = database.execute(f"SELECT DISTINCT typeof({name}) FROM {table}").fetchall()
                    assert kinds == [("integer",)], name
        assert database.execute("SELECT booked_pico FROM attempts").fetchone() == (Money.of(BILL).pico,)


def test_a_ledger_tells_what_it_was_opened_with(path: Path) -> None:
    for url in (path, f"sqlite:///{path}", "memory:"):
        with Ledger.open(url) as ledger:
            assert ledger.url == str(url)
            assert str(url) in repr(ledger)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="does not exist; create it"):
        Ledger.open(tmp_path / "nowhere" / "spend.db")


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerUnavailable, match="choose another path"):
        Ledger.open(path)
    assert path.read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("version", [0, 7])
def test_somebody_elses_database_is_left_alone(path: Path, version: int) -> None:
    with raw(path) as database:
        database.execute("CREATE TABLE attempts (what TEXT)")
        database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(LedgerError):
        Ledger.open(path)
    with raw(path) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("attempts",)]


def test_a_ledger_of_a_newer_version_is_left_alone(path: Path) -> None:
    Ledger.open(path).close()
    with raw(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(LedgerError, match="upgrade"):
        Ledger.open(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("an administrator may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(LedgerUnavailable, match="permissions"):
        Ledger.open(tmp_path / "spend.db")


def test_a_lock_that_is_held_too_long_is_told_and_nothing_is_half_written(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        store = SqliteStore(path, lock_seconds=0.05)
        ledger = stack.enter_context(Ledger(store, budgets=[Budget("1", per="day")]))
        attempt = ledger.try_reserve(wanted())
        database = stack.enter_context(raw(path))
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.try_reserve(wanted())
        with pytest.raises(LedgerUnavailable, match="booked as soon as"):
            settle(ledger, attempt.id)
        with pytest.raises(LedgerUnavailable):
            ledger.release(attempt.id, ended_at=NOON)  # too late: it was settled
        database.execute("ROLLBACK")
        [row] = ledger.attempts()  # the settlement that was kept in memory is booked by now
        assert (row.status, row.cost) == ("settled", cost())
        [status] = ledger.budget_status()
        assert (status.spent, status.reserved) == (Money.of(BILL), Money(0))


def test_what_is_pending_is_booked_on_close(path: Path) -> None:
    ledger = Ledger(SqliteStore(path, lock_seconds=0.05))
    attempt = ledger.try_reserve(wanted())
    with raw(path) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable):
            settle(ledger, attempt.id)
        database.execute("ROLLBACK")
    ledger.close()
    with Ledger.open(path) as again:
        assert spent(again) == Money.of(BILL)


FULL = """
import resource, signal, sys
from pathlib import Path
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.errors import LedgerUnavailable
from tests.pricing.ledgers import settle, wanted, spent

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
ledger = Ledger.open(path, budgets=[Budget("1", per="day")])
in_flight = [ledger.try_reserve(wanted("0.001")) for _ in range(5)]
largest = max(file.stat().st_size for file in path.parent.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, resource.RLIM_INFINITY))
reserved = 0
for _ in range(100):
    try:
        ledger.try_reserve(wanted("0.001"))
    except LedgerUnavailable as error:
        assert "make room" in str(error), error
        break
    reserved += 1
else:
    raise SystemExit("the disk was never full")
for attempt in in_flight:
    try:
        settle(ledger, attempt.id, "0.0001")
    except LedgerUnavailable as error:
        assert "kept in memory" in str(error), error
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
rows = ledger.attempts()
assert len(rows) == 5 + reserved, (len(rows), reserved)
assert [row.status for row in rows[:5]] == ["settled"] * 5
[status] = ledger.budget_status()
assert str(status.spent.amount) == "0.0005", status
assert status.reserved.amount * 1000 == reserved, status
ledger.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_full_disk_loses_nothing(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    with raw(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_looking_for_calls_that_are_rare_takes_no_more_work_in_a_long_ledger(path: Path) -> None:
    store = SqliteStore(path)
    with Ledger(store) as ledger:

        def steps(**by: Any) -> int:
            """How many instructions SQLite takes to find none."""
            taken = itertools.count()
            store.connection().set_progress_handler(lambda: next(taken) < 0, 1)
            found = ledger.completion_history(host="vllm", model="deepseek-ai/DeepSeek-V3.1", **by)
            store.connection().set_progress_handler(None, 1)
            assert found == []
            return next(taken)

        def both() -> tuple[int, int]:
            return steps(mode="thinking"), steps(mode="standard", purpose="sample")

        settle(ledger, ledger.try_reserve(wanted()).id)
        before = both()
        for _ in range(100):
            settle(ledger, ledger.try_reserve(wanted()).id)
        assert both() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_a_connection_of_its_own(path: Path) -> None:
    with Ledger.open(path, budgets=[Budget("1", per="day")]) as ledger, Ledger.open("memory:") as memory:
        before = ledger.try_reserve(wanted())
        child = os.fork()
        if child == 0:
            try:
                settle(ledger, ledger.try_reserve(wanted(attempt="child", call="child")).id)
                settle(ledger, before.id)
                try:
                    memory.try_reserve(wanted())
                except LedgerClosed:
                    os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        settle(ledger, ledger.try_reserve(wanted()).id)
        assert spent(ledger) == Money.of(BILL) * 3
        assert ledger.budget_status()[0].reserved == Money(0)


def test_a_booking_from_inside_a_booking_is_refused_instead_of_breaking_it() -> None:
    with Ledger.open("memory:", budgets=[Budget("0.002", per="day", policy="clamp")]) as ledger:
        ledger.try_reserve(wanted("0.0015"))

        def meddle(*_: object) -> None:
            ledger.try_reserve(wanted("0.0001"))

        with pytest.raises(LedgerError, match="inside its own transaction"):
            ledger.try_reserve(wanted(), refit=meddle)
        ledger.try_reserve(wanted("0.0001"))
        assert len(ledger.attempts()) == 2


def test_an_interrupt_between_two_statements_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open("memory:", budgets=[Budget("1", per="day")]) as ledger:
        from deepthrift_pricing._ledger import bookings as _ledger_bookings

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(_ledger_bookings, "add_counts", interrupted)
            with pytest.raises(KeyboardInterrupt):
                ledger.try_reserve(wanted())
        assert ledger.attempts() == []
        ledger.try_reserve(wanted())
        assert ledger.budget_status()[0].reserved == Money.of(WORST)


async def test_threads_and_tasks_hammer_one_file(path: Path) -> None:
    """Every booking of eight threads and as many tasks arrives, and the count of the budget equals the rows."""
    with Ledger.open(path, budgets=[Budget("100", per="day")]) as ledger:

        def hammer() -> None:
            for number in range(40):
                attempt = ledger.reserve_blocking(wanted("0.002"))
                if number % 4 == 0:
                    ledger.release(attempt.id, ended_at=NOON)
                elif number % 4 == 1:
                    ledger.hold_unknown(attempt.id)
                else:
                    settle(ledger, attempt.id, "0.001")
                ledger.spend()

        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            attempt = await ledger.reserve(wanted("0.002"))
            await turns(3)
            ledger.release(attempt.id, ended_at=NOON)
        [status] = ledger.budget_status()
        assert status.spent == spent(ledger) == Money.of("0.001") * 160 + Money.of("0.002") * 80
        assert status.reserved == Money(0)
        assert status.unknown == Money.of("0.002") * 80
