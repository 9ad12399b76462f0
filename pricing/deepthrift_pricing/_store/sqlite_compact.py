"""Gives space in a SQLite file back to the disk without keeping other writers waiting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

from deepthrift_pricing._store.protocol import rest

_STEP: Final = 256
"""Pages moved in one transaction, which takes a few milliseconds."""
_REWRITTEN: Final = 32 * 2**20
"""Bytes that remain in an older file, up to which it's rewritten as a whole; that takes well under a second."""
_INCREMENTAL: Final = 2


class Link(Protocol):
    """A connection that one thread holds at a time."""

    def acquire(self, seconds: float = -1) -> bool:
        """Takes it."""
        ...

    def give_back(self) -> None:
        """Leaves it to others."""
        ...

    def connection(self) -> sqlite3.Connection:
        """The connection."""
        ...

    @property
    def failed(self) -> Callable[[sqlite3.Error], Exception]:
        """What to raise for an error."""
        ...


def compact(link: Link) -> None:
    """Moves pages from the end of the file into the space that deleted rows left, a few at a time."""
    with _held(link) as connection:
        if _pragma(connection, "auto_vacuum") != _INCREMENTAL:
            used = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
            if used * _pragma(connection, "page_size") <= _REWRITTEN:
                connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
    while True:
        began = time.monotonic()
        with _held(link) as connection:
            # A script, because it moves one page a step, and `execute` takes one step of what returns no columns.
            connection.executescript(f"PRAGMA incremental_vacuum({_STEP})")
            left = _pragma(connection, "freelist_count")
        if not left:
            break
        rest(began)
    with _held(link) as connection:
        # It shortens the file, and waits for nobody: where others read or write, they do it later.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def _held(link: Link) -> Generator[sqlite3.Connection, None, None]:
    link.acquire()
    try:
        yield link.connection()
    except sqlite3.Error as error:
        raise link.failed(error) from error
    finally:
        link.give_back()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
