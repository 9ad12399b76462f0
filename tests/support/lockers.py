"""Who keeps a ledger's store busy: another process that locks its file, another session that locks its table."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

_FILE = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("ROLLBACK")
database.close()
"""


@contextlib.contextmanager
def locked_file(path: Path) -> Generator[Callable[[], None]]:
    """Another process has the file locked for writing, until it is let go or the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _FILE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        try:
            yield lambda: process.communicate(b"\n") and None
        finally:
            if process.poll() is None and not process.stdin.closed:
                process.communicate(b"\n")


def _schema(url: str) -> str:
    return dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))["schema"]


@contextlib.contextmanager
def locked_table(url: str) -> Generator[Callable[[], None]]:
    """Another session has the table of attempts locked, until it is let go or the block ends."""
    import psycopg

    with psycopg.connect(url.partition("?")[0]) as session:
        session.execute(f'LOCK TABLE "{_schema(url)}".attempts IN ACCESS EXCLUSIVE MODE'.encode())
        try:
            yield session.rollback
        finally:
            session.rollback()


@contextlib.contextmanager
def stopped_backends(url: str) -> Iterator[Callable[[], None]]:
    """The server's processes that serve the ledger are stopped, until they are let go or the block ends."""
    import psycopg

    with psycopg.connect(url.partition("?")[0], autocommit=True) as session:
        rows = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = %s",
            (_schema(url),),
        ).fetchall()
    pids = [int(row[0]) for row in rows]
    assert pids, "no process serves the ledger"

    def let_go() -> None:
        while pids:
            os.kill(pids.pop(), signal.SIGCONT)

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield let_go
    finally:
        let_go()


def named(url: str) -> str:
    """The URL with the schema's name as the sessions' name, by which `stopped_backends` finds them."""
    return f"{url}&application_name={_schema(url)}"


def may_stop_backends() -> bool:
    """Whether this user may stop the server's processes: where it runs on this machine, and the user is root."""
    return sys.platform.startswith("linux") and os.geteuid() == 0
