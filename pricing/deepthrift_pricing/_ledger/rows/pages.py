"""Attempts read page by page, so that a ledger of any size fits into little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from deepthrift_pricing._ledger.rows.records import SELECT, attempt_of
from deepthrift_pricing._store.protocol import Row, Transaction, Value
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.window import micros

_PAGE: Final = 2000


def attempt_pages(
    read: Callable[[Callable[[Transaction], list[Row]]], list[Row]], since: datetime | None, until: datetime | None
) -> Iterator[Attempt]:
    """Attempts in the order in which they started; each page is one short read, so that writers don't wait."""
    start, last = (-(2**63) if since is None else micros(since)), ""
    where = "(started_at > ? OR (started_at = ? AND id > ?))"
    bound: tuple[Value, ...] = ()
    if until is not None:
        where += " AND started_at < ?"
        bound = (micros(until),)
    sql = f"{SELECT} WHERE started_at >= ? AND {where} ORDER BY started_at, id LIMIT {_PAGE}"
    while True:
        values = (start, start, start, last, *bound)
        rows = read(lambda db, values=values: db.all(sql, values))  # type: ignore[misc]  # bound for this page
        for row in rows:
            yield attempt_of(row)
        if len(rows) < _PAGE:
            return
        ended = attempt_of(rows[-1])
        start, last = micros(ended.started_at), ended.id
