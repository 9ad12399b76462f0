"""A ledger that 0.1.0 made is migrated in place when it is opened, and 0.1.0 goes on with the one it has open."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_pricing._store.schema import MIGRATIONS, VERSION, statements_since
from tests.pricing.ledgers import BILL, REFERENCE, WORST, Clock, cost, settle, wanted
from tests.support.databases import postgres_url

DUMP = Path(__file__).parent / "data" / "ledger-0.1.0.sql"
"""The dump of a file that version 0.1.0 wrote: three budgets, and an attempt in every state."""
BUDGETS = (Budget("1", per="day"), Budget("5", per="total", each=("team",)), Budget("0.01", per=timedelta(hours=1)))
INSERT_OF_0_1_0 = (
    "INSERT INTO attempts (id, call_id, group_id, purpose, host, model, mode, status, started_at, lease_until, "
    "ended_at, currency, reserved_pico, booked_pico, cache_hit_pico, cache_miss_pico, completion_pico, "
    "reasoning_pico, certainty, prompt_bound, max_tokens, prompt_tokens, cache_hit_tokens, completion_tokens, "
    "reasoning_tokens, usage_certainty, usage_notes, price_ids, tags, finish_reason, http_status, error) VALUES "
    "('old', 'call-o', 'call-o', 'answer', 'vllm', 'm', 'standard', 'released', 1795176000000000, 1795176900000000, "
    "1795176000000000, 'USD', 1, 0, 0, 0, 0, 0, 'exact', 1, 1, NULL, NULL, NULL, NULL, NULL, NULL, '[]', '{}', NULL, "
    "503, 'ServerError') ON CONFLICT (id) DO NOTHING"
)


@contextlib.contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "spend.db"
    with raw(path) as database:
        database.executescript(DUMP.read_text())
        database.execute("PRAGMA journal_mode = WAL")
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    return path


def fill_as_0_1_0(url: str) -> None:
    """Make the same ledger in PostgreSQL."""
    import psycopg

    url, _, schema = url.partition("?schema=")
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema}".encode())
        lines = DUMP.read_text().split("BEGIN TRANSACTION;")[1].split("COMMIT;")[0]
        connection.execute(lines.encode())
        connection.execute("INSERT INTO ledger (name, value) VALUES ('schema_version', 1)")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str | Path]:
    if request.param == "sqlite":
        yield request.getfixturevalue("path")
    else:
        with postgres_url() as url:
            fill_as_0_1_0(url)
            yield url


def test_what_0_1_0_booked_is_there_and_counts(url: str | Path) -> None:
    with Ledger.open(url, budgets=BUDGETS, clock=Clock()) as ledger:
        rows = {attempt.id: attempt for attempt in ledger.attempts()}
        assert {id_: row.status for id_, row in rows.items()} == {
            "att-1": "settled",
            "att-2": "released",
            "att-3": "unknown",
            "att-4": "settled",
            "att-5": "reserved",
        }
        assert (rows["att-1"].usage, rows["att-1"].cost) == (REFERENCE, cost())
        assert rows["att-1"].tags == {"team": "search"}
        assert {(row.answered_model, row.fingerprint, row.service_tier) for row in rows.values()} == {(None,) * 3}
        day = ledger.budget_status()[0]
        assert (day.spent, day.reserved, day.unknown) == (
            Money.of(BILL) + Money.of(BILL) + Money.of(WORST),
            Money.of(WORST),
            Money.of(WORST),
        )
        settle(ledger, "att-5")
        settle(ledger, ledger.try_reserve(wanted(attempt="new", call="call-n")).id)
        assert ledger.budget_status()[0].reserved == Money(0)
    with Ledger.open(url, clock=Clock()) as again:
        assert len(again.attempts()) == 6


def test_a_process_of_0_1_0_that_has_it_open_goes_on(path: Path) -> None:
    with raw(path) as old:
        old.execute("SELECT COUNT(*) FROM attempts").fetchone()
        with Ledger.open(path) as ledger:
            assert old.execute(INSERT_OF_0_1_0).rowcount == 1
            new = ledger.attempt("old")
            assert new is not None
            assert (new.status, new.http_status, new.answered_model) == ("released", 503, None)


def test_many_that_open_it_at_once_migrate_it_once(url: str | Path) -> None:
    def book(number: int) -> None:
        with Ledger.open(url, clock=Clock()) as ledger:
            settle(ledger, ledger.try_reserve(wanted(attempt=f"new-{number}", call=f"new-{number}")).id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(book, range(8)))
    with Ledger.open(url, clock=Clock()) as ledger:
        assert len(ledger.attempts()) == 13


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepthrift_pricing._store import sqlite as _store_sqlite
    from deepthrift_pricing.errors import LedgerUnavailable

    monkeypatch.setattr(_store_sqlite, "statements_since", lambda version: (*statements_since(version), "NONSENSE"))
    with pytest.raises(LedgerUnavailable):
        Ledger.open(path)
    with raw(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        names = [name for _, name, *_ in database.execute("PRAGMA table_info(attempts)").fetchall()]
        assert "answered_model" not in names


def test_a_new_file_and_a_migrated_one_have_the_same_tables(path: Path, tmp_path: Path) -> None:
    Ledger.open(path).close()
    Ledger.open(tmp_path / "new.db").close()
    found: list[dict[str, list[tuple[object, ...]]]] = []
    for each in (path, tmp_path / "new.db"):
        with raw(each) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()]
            found.append({table: database.execute(f"PRAGMA table_info({table})").fetchall() for table in tables})
    assert found[0] == found[1]


def test_every_version_has_its_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(2, VERSION + 1))
    assert statements_since(VERSION) == ()


def test_the_docs_name_every_column(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger-schema.md").read_text()
    path = tmp_path / "new.db"
    Ledger.open(path).close()
    with raw(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            assert f"\n## {table}\n" in page
            for _, column, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                assert f"`{column}`" in page, (table, column)
    assert f"`PRAGMA user_version`, now {VERSION}" in page
