"""The router's memory: a small SQLite file of features, hashes and outcomes."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepthrift.errors import ConfigurationError, LedgerUnavailable
from deepthrift_router._learn.answered import Answered
from deepthrift_router._record.changes import Change

if TYPE_CHECKING:
    import sqlite3

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    group_id TEXT PRIMARY KEY, at REAL NOT NULL, setting TEXT NOT NULL, labelled INTEGER NOT NULL, row TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS answers_at ON answers (at);
CREATE INDEX IF NOT EXISTS answers_kept ON answers (labelled, at);
CREATE INDEX IF NOT EXISTS answers_labelled ON answers (setting) WHERE labelled;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_FORGET: Final = """
DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers ORDER BY labelled DESC, at DESC LIMIT -1 OFFSET ?)
"""
_TIDY: Final = 256
"""Answers between two looks at how many there are."""
_FORMAT: Final = 1
_BUSY: Final = 10.0


class RouterStore:
    """Routed answers with their outcomes, in memory or in a file that several processes may share.

    No prompt and no answer is in it. A question is a hash under a random key that is kept beside it.

    Args:
        path: The file; left out, in memory.
        keep: The most answers to keep; the oldest go first, those with labels last.

    Raises:
        LedgerUnavailable: The file cannot be opened or made, or a later version wrote it. Any method raises it, too,
            where the file cannot be read or written.
    """

    def __init__(self, path: Path | str = ":memory:", *, keep: int = 100_000) -> None:
        if keep < 1:
            raise ConfigurationError(f"keep is 1 or more, not {keep!r}")
        import sqlite3

        self._path = str(path)
        self._keep = keep
        self._added = 0
        self._lock = threading.Lock()
        with self._told():
            self._db: sqlite3.Connection = sqlite3.connect(
                self._path, timeout=_BUSY, check_same_thread=False, isolation_level=None
            )
            try:
                self._key = self._set_up()
            except BaseException:
                self._db.close()
                raise
        # A router that nobody closes, for it has no audits to wait for, leaves nothing open behind it.
        self._finalizer = weakref.finalize(self, self._db.close)

    def __repr__(self) -> str:
        return f"<RouterStore {self._path!r}>"

    def _set_up(self) -> str:
        """Make what is missing; the key of the hashes."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        [format_] = self._db.execute("PRAGMA user_version").fetchone()
        if format_ > _FORMAT:
            raise LedgerUnavailable(f"{self._path} was written by a later version of deepthrift; update it")
        with self._writing():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_FORMAT}")
            self._db.execute("INSERT OR IGNORE INTO facts VALUES ('key', ?)", (secrets.token_hex(16),))
        [key] = self._db.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
        return str(key)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with self._lock:
            self._finalizer()

    def hash_of(self, question: str) -> str:
        """The keyed hash under which `question` is known here."""
        return hashlib.blake2b(question.encode("utf-8", "replace"), key=self._key.encode(), digest_size=12).hexdigest()

    def add(self, row: Answered) -> None:
        """Keep an answer."""
        with self._lock, self._told(), self._writing():
            self._put(row)
            self._added += 1
            if self._added % _TIDY == 1:
                self._db.execute(_FORGET, (self._keep,))

    def change(self, group_id: str, change: Callable[[Answered], Answered]) -> Answered | None:
        """Change one answer in one transaction; the answer then, or `None` if it is not known."""
        with self._lock, self._told(), self._writing():
            found = self._db.execute("SELECT row FROM answers WHERE group_id = ?", (group_id,)).fetchone()
            if found is None:
                return None
            row = change(Answered.model_validate_json(found[0]))
            self._put(row)
            return row

    def rows(
        self,
        *,
        limit: int | None = None,
        setting: str | None = None,
        labelled: bool = False,
        since: datetime | None = None,
    ) -> list[Answered]:
        """Answers, the oldest first; with `limit`, the latest ones; with `since`, those from that moment on."""
        sql = (
            "SELECT row FROM answers WHERE (?1 IS NULL OR setting = ?1) AND labelled >= ?2 AND at >= ?4 "
            "ORDER BY at DESC LIMIT ?3"
        )
        values = (setting, int(labelled), -1 if limit is None else limit, _seconds(since))
        with self._lock, self._told():
            found = self._db.execute(sql, values).fetchall()
        return [Answered.model_validate_json(row) for (row,) in reversed(found)]

    def count_labelled(self, setting: str, since: datetime | None = None) -> int:
        """How many answers under `setting`, from `since` on, have a label for both modes."""
        with self._lock, self._told():
            sql = "SELECT count(*) FROM answers WHERE setting = ? AND labelled AND at >= ?"
            return int(self._db.execute(sql, (setting, _seconds(since))).fetchone()[0])

    def note_change(self, change: Change) -> None:
        """Remember that another model answers since then, for those who read the store without the ledger."""
        known = self.change_known()
        if known is None or known.at < change.at:
            told = json.dumps({"at": change.at.isoformat(), "news": change.news})
            with self._lock, self._told(), self._writing():
                self._db.execute("INSERT OR REPLACE INTO facts VALUES ('changed', ?)", (told,))

    def change_known(self) -> Change | None:
        """The latest change of the model behind these answers; `None` where there was none."""
        with self._lock, self._told():
            found = self._db.execute("SELECT value FROM facts WHERE name = 'changed'").fetchone()
        if found is None:
            return None
        told = json.loads(found[0])
        return Change(datetime.fromisoformat(told["at"]), told["news"])

    def _put(self, row: Answered) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            (row.group_id, row.at.timestamp(), row.setting, int(row.labelled), row.model_dump_json()),
        )

    @contextmanager
    def _writing(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors, such as a full disk, have ended it already
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Generator[None]:
        """SQLite's own errors as ours."""
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the router's store {self._path} cannot be used: {error}") from error


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


def open_store(store: RouterStore | Path | str | None) -> tuple[RouterStore, bool]:
    """The store, and whether it was opened here; `None` is one in memory.

    Raises:
        ConfigurationError: It is neither a store nor a path.
    """
    if isinstance(store, RouterStore):
        return store, False
    if store is not None and not isinstance(store, Path | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"store is a RouterStore or the path of a file, not {store!r}")
    return RouterStore(":memory:" if store is None else store), True
