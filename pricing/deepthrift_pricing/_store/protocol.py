"""What a ledger needs of a database: transactions in which rows are read and written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

Value: TypeAlias = str | int | None
Row: TypeAlias = tuple[Value, ...]


class Transaction(Protocol):
    """Statements inside one transaction; `?` marks a parameter."""

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Every row of a query."""
        ...

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or `None`."""
        ...

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """A statement that changes rows; returns how many."""
        ...


class Store(Protocol):
    """A database that holds one ledger; it raises `LedgerUnavailable` when it cannot be reached or written."""

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time."""
        ...

    @property
    def lock_seconds(self) -> float:
        """How long a transaction waits for others at most."""
        ...

    @property
    def reads_wait(self) -> bool:
        """Whether even a read may have to wait for others, or for a network."""
        ...

    @property
    def tag_sql(self) -> str:
        """The expression for the value of a tag of an attempt, with one parameter: the tag's name."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that no other writer can come between; committed at the end, or undone by an exception."""
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent view."""
        ...

    def compact(self) -> None:
        """Gives space that deleted rows took back to the disk, where the database does not do so by itself.

        It goes in steps, between which other writers get their turn.
        """
        ...

    def close(self) -> None:
        """Gives the database back. A second call does nothing."""
        ...


def rest(began: float) -> None:
    """Leaves others as much time as the step since `began` took: a lock that is always taken starves who polls it."""
    time.sleep(max(0.005, time.monotonic() - began))
