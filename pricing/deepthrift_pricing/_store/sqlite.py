"""The ledger's store in SQLite: one file for many threads and processes, or memory for one process."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, cast

from deepthrift_pricing._store.protocol import Row, Value
from deepthrift_pricing._store.schema import APPLICATION_ID, VERSION, statements_since
from deepthrift_pricing._store.sqlite_compact import compact
from deepthrift_pricing._values.errors import LedgerClosed, LedgerError, LedgerUnavailable

_MODE: Final = 0o600
LOCK_SECONDS: Final = 10.0
"""How long a writer waits for another process's transaction, each of which takes well under a millisecond."""


_ABANDONED: Final[list[sqlite3.Connection | None]] = []
"""Connections of the parent, seen from a forked child, which must neither use nor close them."""


def _create_private(path: Path) -> None:
    """Make the file if there is none, for its owner alone; SQLite gives its other files the same mode."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE)
    except OSError:
        return  # it is there, or cannot be made, which SQLite says in words of its own
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, _MODE)  # whatever the umask is
    finally:
        os.close(descriptor)


class SqliteStore:
    """A ledger in a SQLite file in WAL mode, or in memory.

    A file has one connection for writing and one for reading, so that reads don't wait while another process has the
    file locked for writing.
    """

    def __init__(self, path: Path | None, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Opens the ledger at `path`, and creates it where there is none; `None` keeps it in memory.

        Raises:
            LedgerUnavailable: The file cannot be opened, created or written.
            LedgerError: The file is not a ledger, or was made by a newer version.
        """
        self._path = path
        self._lock_seconds = lock_seconds
        self._writer = SqliteLink(self, self._open)
        self._reader = self._writer if path is None else SqliteLink(self, self._open_to_read)
        self._write = _Transaction(self._writer, "BEGIN IMMEDIATE")
        self._read = _Transaction(self._reader, "BEGIN DEFERRED")
        self._writer.open()

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time."""
        return self._path is not None

    @property
    def lock_seconds(self) -> float:
        """How long a transaction waits for others at most."""
        return self._lock_seconds

    @property
    def reads_wait(self) -> bool:
        """In WAL mode no read waits for a writer."""
        return False

    @property
    def tag_sql(self) -> str:
        """The expression for the value of a tag of an attempt, with one parameter: the tag's name."""
        return "(SELECT value FROM json_each(attempts.tags) WHERE key = ?)"

    @property
    def path(self) -> Path | None:
        """The file, or `None` in memory."""
        return self._path

    def write(self) -> _Transaction:
        """A transaction that no other writer can come between."""
        return self._write

    def read(self) -> _Transaction:
        """A consistent view."""
        return self._read

    def compact(self) -> None:
        """Gives the space that deleted rows took back to the disk, in steps between which others may write.

        A file of an earlier version can only be rewritten as a whole. That is done only where so little remains that
        it takes less than a second; a larger file keeps its size, and new rows fill the space.
        """
        compact(self._writer)

    def connection(self) -> sqlite3.Connection:
        """The connection for writing."""
        return self._writer.connection()

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()
        self._writer.close()

    def _open(self) -> sqlite3.Connection:
        if self._path is not None and not self._path.parent.is_dir():
            raise LedgerUnavailable(
                f"the folder {str(self._path.parent)!r} of the ledger does not exist; create it, or choose another path"
            )
        connection: sqlite3.Connection | None = None
        try:
            if self._path is not None:
                _create_private(self._path)
            connection = sqlite3.connect(
                ":memory:" if self._path is None else self._path,
                timeout=self._lock_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
            connection.execute("BEGIN")  # one view, or a file that another process is just making looks like another's
            self._check_ours(connection)
            connection.execute("COMMIT")
            # A booking rewrites a handful of whole pages, so small ones cost less. It holds for new files only.
            connection.execute("PRAGMA page_size = 2048")
            if self._path is not None:  # then deleted rows give their space back in small steps; new files only, too
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit survives the death of the process at once, and a power cut up to the last checkpoint.
            connection.execute("PRAGMA synchronous = NORMAL")
            # Every booking writes to the same few pages, so a rarer checkpoint writes each of them less often.
            connection.execute("PRAGMA wal_autocheckpoint = 8000")
            self._migrate(connection)
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise self.failed(error) from error
        except LedgerError:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            cast("Path", self._path),
            timeout=self._lock_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._check_ours(connection)
            if version < VERSION:  # looked up inside the transaction, so that only one of several openers migrates
                for statement in statements_since(version):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _check_ours(self, connection: sqlite3.Connection) -> int:
        """The version of the ledger, 0 in an empty file. It only reads: somebody else's database stays as it is."""
        version = _pragma(connection, "user_version")
        ours = _pragma(connection, "application_id") == APPLICATION_ID
        if not ours and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None:
            raise LedgerError(f"{self._name!r} is a database of something else; choose another path")
        if version > VERSION:
            raise LedgerError(
                f"the ledger {self._name!r} was made by a newer Deepthrift (its version is {version}, this one "
                f"knows {VERSION}); upgrade Deepthrift"
            )
        return version

    @property
    def _name(self) -> str:
        return ":memory:" if self._path is None else str(self._path)

    def failed(self, error: sqlite3.Error) -> LedgerError:
        """`error` in words that say what to do."""
        text = str(error)
        passing = False
        where = f"the ledger {self._name!r}"
        if "locked" in text or "busy" in text:
            passing = True
            advice = f"another process has kept it locked for {self._lock_seconds:g} s; let that one end"
        elif "full" in text or "disk I/O" in text:
            advice = "the disk may be full; make room, then call again"
        elif "readonly" in text or "unable to open" in text or "permission" in text:
            advice = "it cannot be written; check the path and its permissions"
        elif "not a database" in text or "malformed" in text:
            advice = "it is damaged, or something else; restore a copy, or choose another path"
        else:
            advice = "nothing was changed; call again"
        failure = LedgerUnavailable(f"{where} is not available: {text}; {advice}")
        failure.passing = passing
        return failure


class SqliteLink:
    """One connection to the file, for one thread at a time, and never across a fork."""

    def __init__(self, store: SqliteStore, opener: Callable[[], sqlite3.Connection]) -> None:
        self.store = store
        self._opener = opener
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._forked = False
        self._closed = False
        self.inside = False
        """Whether a transaction is open in this process."""

    def open(self) -> None:
        """Opens the connection."""
        with self._lock:
            self._connection = self._opener()

    def connection(self) -> sqlite3.Connection:
        """The connection; in a forked child a new one, for SQLite's must not cross a fork."""
        if self._closed:
            raise LedgerClosed("the ledger is closed; open it again with Ledger.open()")
        if self._connection is None:
            if self._forked and self.store.path is None:
                raise LedgerClosed("a ledger in memory does not cross a fork; open one in the child, or use a file")
            self._connection = self._opener()
        return self._connection

    def acquire(self, seconds: float = -1) -> bool:
        """Takes the connection for this thread."""
        if self._process != os.getpid():  # another thread may have held the lock when this process was forked
            self._lock = threading.RLock()
            self.inside = False
            self._process = os.getpid()
            _ABANDONED.append(self._connection)
            self._connection = None
            self._forked = True
        return self._lock.acquire(timeout=seconds)

    def give_back(self) -> None:
        """Leaves the connection to other threads."""
        self._lock.release()

    def close(self) -> None:
        """Closes the connection; a transaction of another thread gets a while to end, and is undone then."""
        self._closed = True
        if not self.acquire(self.store.lock_seconds):
            if self._connection is not None:
                self._connection.interrupt()
            return
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        except sqlite3.Error as error:
            raise self.failed(error) from error
        finally:
            self.give_back()

    def failed(self, error: sqlite3.Error) -> LedgerError:
        """`error` in words that say what to do."""
        return self.store.failed(error)


class _Transaction:
    """A transaction of the link; one at a time, so it is made once."""

    __slots__ = ("_begin", "_connection", "_link")

    def __init__(self, link: SqliteLink, begin: str) -> None:
        self._link = link
        self._begin = begin
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> _Transaction:
        link = self._link
        link.acquire()
        try:
            self._connection = connection = link.connection()
            if link.inside:
                raise LedgerError("the ledger was called from inside its own transaction, by a finalizer or a signal")
            if connection.in_transaction:  # an interrupt struck between a statement and its end
                connection.execute("ROLLBACK")
            connection.execute(self._begin)
            link.inside = True
        except sqlite3.Error as error:
            link.give_back()
            raise link.failed(error) from error
        except BaseException:
            link.give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        connection = cast("sqlite3.Connection", self._connection)
        self._link.inside = False
        try:
            if kind is None:
                connection.execute("COMMIT")
            elif connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as failure:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise self._link.failed(failure) from failure
        finally:
            self._link.give_back()
        if isinstance(error, sqlite3.Error):
            raise self._link.failed(error) from error
        return False

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Every row of a query."""
        return cast("sqlite3.Connection", self._connection).execute(sql, values).fetchall()

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or `None`."""
        return cast("Row | None", cast("sqlite3.Connection", self._connection).execute(sql, values).fetchone())

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """A statement that changes rows; returns how many."""
        return cast("sqlite3.Connection", self._connection).execute(sql, values).rowcount


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
