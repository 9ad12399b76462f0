"""What only PostgreSQL can do wrong: connections that are lost, passwords, schemas of something else, locks."""

from __future__ import annotations

import getpass
import os
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_pricing._store import postgres
from deepthrift_pricing._store.url import without_schema
from deepthrift_pricing.errors import ConfigurationError, LedgerClosed, LedgerError, LedgerUnavailable
from tests.pricing.ledgers import BILL, WORST, settle, spent, wanted
from tests.support.databases import postgres_url


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as url:
        yield url


def hang_up(ledger: Ledger) -> None:
    """Ends the ledger's connection from the server's side, as a restart or a network does."""
    import psycopg

    store = ledger._store
    assert isinstance(store, postgres.PostgresStore)
    pid = store.connection().info.backend_pid
    with psycopg.connect(store._url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))


def test_a_lost_connection_is_made_anew(url: str) -> None:
    with Ledger.open(url, budgets=[Budget("1", per="day")]) as ledger:
        attempt = ledger.try_reserve(wanted())
        hang_up(ledger)
        settle(ledger, attempt.id)
        hang_up(ledger)
        assert spent(ledger) == Money.of(BILL)
        hang_up(ledger)
        ledger.try_reserve(wanted())
        [status] = ledger.budget_status()
        assert (status.spent, status.reserved) == (Money.of(BILL), Money.of(WORST))


def test_a_connection_lost_in_the_middle_undoes_everything(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from deepthrift_pricing._ledger import bookings as _ledger_bookings
    from deepthrift_pricing._ledger.counts import counters as _counters

    with Ledger.open(url, budgets=[Budget("1", per="day")]) as ledger:
        attempt = ledger.try_reserve(wanted())
        add = _counters.add_counts

        def cut(*arguments: Any) -> None:
            hang_up(ledger)
            add(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(_counters, "add_counts", cut)
            patched.setattr(_ledger_bookings, "add_counts", cut)
            with pytest.raises(LedgerUnavailable, match="call again"):
                ledger.try_reserve(wanted())
            with pytest.raises(LedgerUnavailable, match="kept in memory"):
                settle(ledger, attempt.id)
        [row] = ledger.attempts()  # the settlement that was kept in memory is booked by now
        assert (row.status, row.cost.total) == ("settled", Money.of(BILL))
        [status] = ledger.budget_status()
        assert (status.spent, status.reserved) == (Money.of(BILL), Money(0))


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(LedgerUnavailable, match="can be reached") as refused:
        Ledger.open("postgresql://me:hunter2@127.0.0.1:1/x?sslpassword=hunter2")
    assert "hunter2" not in str(refused.value)
    assert "me@127.0.0.1:1/x" in str(refused.value)


def test_the_password_is_never_shown(url: str) -> None:
    parts = urlsplit(url)
    if parts.password is not None:
        pytest.skip("the server for tests wants a password of its own")
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or getpass.getuser()
    with Ledger.open(urlunsplit(parts._replace(netloc=f"{user}:hunter2@{place}"))) as ledger:
        assert "hunter2" not in repr(ledger) + ledger.url
    with pytest.raises(ConfigurationError) as refused:
        Ledger.open("mysql://me:hunter2@127.0.0.1/x")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("schema", ["", "pg_mine", "x" * 64])
def test_an_impossible_schema_is_refused(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="schema"):
        Ledger.open(f"postgresql://127.0.0.1/test?schema={schema}")


def test_a_schema_with_an_odd_name_is_only_a_name(url: str) -> None:
    with Ledger.open(url) as plain, Ledger.open(f'{url}"; DROP TABLE x; --') as odd:
        odd.try_reserve(wanted())
        assert plain.attempts() == []
        store = odd._store
        assert isinstance(store, postgres.PostgresStore)
        store.connection().execute(f'DROP SCHEMA "{store._schema.replace(chr(34), chr(34) * 2)}" CASCADE'.encode())


def test_somebody_elses_schema_and_a_newer_ledger_are_left_alone(url: str) -> None:
    with Ledger.open(url) as ledger:
        store = ledger._store
        assert isinstance(store, postgres.PostgresStore)
        store.connection().execute("UPDATE ledger SET value = 99 WHERE name = 'schema_version'")
        with pytest.raises(LedgerError, match="upgrade"):
            Ledger.open(url)
        store.connection().execute("DROP TABLE budget_windows")
        with pytest.raises(LedgerError, match="something else"):
            Ledger.open(url)


def test_many_that_open_a_new_ledger_at_once_create_it_once(url: str) -> None:
    budgets = [Budget("1", per="day"), Budget("1", per="month")]

    def open_and_book(_: int) -> None:
        with Ledger.open(url, budgets=budgets) as ledger:
            settle(ledger, ledger.try_reserve(wanted()).id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_book, range(8)))
    with Ledger.open(url, budgets=budgets) as ledger:
        assert spent(ledger) == Money.of(BILL) * 8
        assert {status.spent for status in ledger.budget_status()} == {Money.of(BILL) * 8}


def test_a_lock_that_is_held_too_long_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 1)
    with Ledger.open(url) as one, Ledger.open(url) as other:
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with one._store.write():
                entered.set()
                leave.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        entered.wait(30)
        try:
            with pytest.raises(LedgerUnavailable, match="locked"):
                other.try_reserve(wanted())
        finally:
            leave.set()
            thread.join()
        other.try_reserve(wanted())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_a_connection_of_its_own(url: str) -> None:
    with Ledger.open(url, budgets=[Budget("1", per="day")]) as ledger:
        ledger.try_reserve(wanted())
        child = os.fork()
        if child == 0:
            try:
                settle(ledger, ledger.try_reserve(wanted(attempt="child", call="child")).id)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        settle(ledger, ledger.try_reserve(wanted()).id)
        assert spent(ledger) == Money.of(BILL) * 2


def test_a_closed_ledger_stays_closed(url: str) -> None:
    ledger = Ledger.open(url)
    ledger.close()
    with pytest.raises(LedgerClosed):
        ledger.attempts()


def test_without_the_extra_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'deepthrift\[postgres\]'"):
        Ledger.open("postgresql://127.0.0.1/test")


ODD = "pä ss@:/?#%&=+"


def test_encoded_characters_reach_the_database_as_they_are_meant() -> None:
    from psycopg.conninfo import conninfo_to_dict

    odd = quote(ODD, safe="")
    url = f"postgresql://us{odd}:{odd}@%2Fvar%2Frun%2Fpg/d{odd}?schema=s&options=-c%20search_path%3D{odd}"
    url += "&application_name=a+b"
    place, schema = without_schema(url)
    assert schema == "s"
    assert conninfo_to_dict(place) == {
        "user": f"us{ODD}",
        "password": ODD,
        "host": "/var/run/pg",
        "dbname": f"d{ODD}",
        "options": f"-c search_path={ODD}",
        "application_name": "a+b",
    }


def test_a_ledger_with_an_odd_password_database_setting_and_schema(url: str) -> None:
    import psycopg

    schema = f"odd {ODD}"
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or getpass.getuser()
    odd = f"{parts.scheme}://{user}:{quote(ODD, safe='')}@{place}{parts.path}"
    odd += f"?options=-c%20statement_timeout%3D7s&schema={quote(schema, safe='')}"
    try:
        with Ledger.open(odd) as ledger:
            store = ledger._store
            assert isinstance(store, postgres.PostgresStore)
            settle(ledger, ledger.try_reserve(wanted()).id)
            assert store.connection().execute("SHOW statement_timeout").fetchone() == ("7s",)
            assert store.connection().execute("SELECT current_schema()").fetchone() == (schema,)
            assert ODD not in repr(ledger) + ledger.url
            assert quote(ODD, safe="") not in (repr(ledger) + ledger.url).replace(quote(schema, safe=""), "")
            assert user in ledger.url
    finally:
        with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


def test_a_url_that_the_database_cannot_read_is_refused_without_its_password() -> None:
    for url in ("postgresql://me:other-secret%zz@h/db", "postgresql://h/db?password=other-secret%zz"):
        with pytest.raises(LedgerUnavailable) as error:
            Ledger.open(url)
        assert "other-secret" not in "".join(traceback.format_exception(error.value))
