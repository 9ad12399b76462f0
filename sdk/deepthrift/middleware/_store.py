"""The file of a response cache: SQLite in WAL mode, private, bounded, shared by any number of processes."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

from deepthrift._types.errors import ConfigurationError

T = TypeVar("T")

_LOG: Final = logging.getLogger("deepthrift.cache")
_APPLICATION_ID: Final = 0x64746363  # "dtcc"
_PATIENCE: Final = 0.25
"""Seconds to wait for another process's transaction, which takes far less than that."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, stored_at REAL NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (stored_at, size);
"""


class Store:
    """Bodies by key. Every method but the first opening turns a failing file into a miss, and says so in the log."""

    def __init__(self, path: Path, ttl: float, max_bytes: int, patience: float = _PATIENCE) -> None:
        self._path = path
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._closing: weakref.finalize[..., Store] | None = None
        with self._lock:
            try:
                self._opened()
            except sqlite3.OperationalError as error:
                _LOG.warning("the response cache %s is not ready yet: %s", path, error)
            except sqlite3.Error as error:
                raise ConfigurationError(f"{str(path)!r} cannot be used as a response cache: {error}") from error

    def get(self, key: bytes) -> tuple[bytes, str] | None:
        """The body and content type stored for `key`, unless they are too old."""

        def read(db: sqlite3.Connection) -> tuple[bytes, str] | None:
            since = time.time() - self._ttl
            row = db.execute("SELECT body, kind FROM answers WHERE key = ? AND stored_at > ?", (key, since)).fetchone()
            return None if row is None else cast("tuple[bytes, str]", tuple(row))

        return self._do(read, None)

    def put(self, key: bytes, body: bytes, kind: str) -> None:
        """Store a body, and drop what is too old, and the oldest until the rest fits."""
        if len(body) > self._max_bytes:
            return
        now = time.time()

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM answers WHERE stored_at <= ?", (now - self._ttl,))
                db.execute("REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", (key, now, kind, body, len(body)))
                total = int(db.execute("SELECT sum(size) FROM answers").fetchone()[0])
                while total > self._max_bytes:
                    oldest, size = db.execute("SELECT key, size FROM answers ORDER BY stored_at LIMIT 1").fetchone()
                    db.execute("DELETE FROM answers WHERE key = ?", (oldest,))
                    total -= size

        self._do(write, None)

    def clear(self) -> None:
        """Drop everything."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM answers")

        self._do(write, None)

    def count(self) -> int:
        """How many bodies there are."""
        return self._do(lambda db: int(db.execute("SELECT count(*) FROM answers").fetchone()[0]), 0)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            closing, self._closing, self._connection = self._closing, None, None
            if closing is not None and self._process == os.getpid():
                closing()

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            try:
                return work(self._opened())
            except (sqlite3.Error, ConfigurationError) as error:
                _LOG.warning("the response cache %s was passed over: %s", self._path, error)
                return otherwise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        if self._closing is not None:
            self._closing.detach()  # made before a fork: the parent's, neither to be used nor closed here
            _FORKED.append(self._connection)
        self._process = os.getpid()
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise ConfigurationError(f"the response cache {str(self._path)!r} cannot be opened: {error}") from error
        db = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._connection = db
        self._closing = weakref.finalize(self, db.close)
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        marked = db.execute("PRAGMA application_id").fetchone()[0]
        if marked != _APPLICATION_ID:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ConfigurationError(f"{str(self._path)!r} is a database, but no response cache; it is left alone")
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        with contextlib.suppress(OSError):  # somebody may have made the file beforehand, for all to read
            self._path.chmod(0o600)
        with contextlib.suppress(sqlite3.OperationalError):  # another process holds it this moment, in WAL mode then
            db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_TABLES)


_FORKED: Final[list[sqlite3.Connection | None]] = []
"""Connections of the parent, kept so that a child never closes them."""
