"""One transaction for a group of bookings, whose changes of the same counts are written once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from deepthrift_pricing._ledger.rows.records import END_AS_KNOWN, INSERT
from deepthrift_pricing._store.protocol import Row, Transaction, Value

Key: TypeAlias = tuple[int, str, int]
"""A row of `budget_windows`: scope, part and start of the window."""
Amounts: TypeAlias = tuple[int, int, int]
"""Spent, reserved and unknown in 10⁻¹² of the currency."""

_ROWS: Final = 50
"""Rows that one statement changes at most."""


class GroupTransaction:
    """A transaction that keeps counts at hand: each row is read once, and its changes are written together.

    No other writer can come between, so a row that was read stays as it is but for what is added here. Statements that
    may look at the counts, or change them, find everything written.
    """

    __slots__ = ("_db", "_pending", "_rows", "_write", "version")

    def __init__(self, db: Transaction, write: Callable[[Transaction, Sequence[tuple[Key, Amounts]]], None]) -> None:
        """A group inside `db`, whose changes of counts `write` writes."""
        self._db = db
        self._write = write
        self._rows: dict[Key, Amounts] = {}
        self._pending: dict[Key, Amounts] = {}
        self.version: int | None = None
        """Of the scopes, if it was read in this transaction."""

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Every row of a query."""
        self.flush()
        return self._db.all(sql, values)

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or `None`."""
        self.flush()
        return self._db.one(sql, values)

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """A statement that changes rows; returns how many."""
        if sql is not INSERT and sql is not END_AS_KNOWN:
            self.flush()
            self._rows.clear()
            self.version = None
        return self._db.run(sql, values)

    def row(self, key: Key) -> Amounts | None:
        """What a row counts, if it was read in this transaction."""
        return self._rows.get(key)

    def learn(self, key: Key, amounts: Amounts) -> None:
        """Keeps what was read of a row."""
        self._rows[key] = amounts

    def add(self, key: Key, change: Amounts) -> None:
        """Books a change of a row, which is written with the others."""
        self._pending[key] = _sum(self._pending.get(key), change)
        if key in self._rows:
            self._rows[key] = _sum(self._rows[key], change)

    def flush(self) -> None:
        """Writes the changes."""
        if not self._pending:
            return
        rows = list(self._pending.items())
        self._pending.clear()
        for first in range(0, len(rows), _ROWS):
            self._write(self._db, rows[first : first + _ROWS])


def _sum(one: Amounts | None, other: Amounts) -> Amounts:
    return other if one is None else (one[0] + other[0], one[1] + other[1], one[2] + other[2])
