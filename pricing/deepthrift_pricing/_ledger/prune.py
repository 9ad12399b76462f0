"""Deletes old attempts in small steps, between which other threads and processes book on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, cast

from deepthrift_pricing._ledger.counts.counters import Counter, Counters
from deepthrift_pricing._store.protocol import Transaction, rest

_STEP: Final = 500
"""Rows that one transaction deletes, which takes a few milliseconds."""
_OLD: Final = "started_at < ? AND status <> 'reserved'"


def prune(step: Callable[[Callable[[Transaction], int]], int], counters: Counters, before: int, now: int) -> int:
    """Deletes what started before a moment, in microseconds; `step` runs work in a transaction of its own.

    Returns:
        How many attempts were deleted. If a step fails, what the steps before it have deleted stays deleted.
    """

    def refreshed(db: Transaction) -> int:
        counters.refresh(db)
        return 0

    step(refreshed)
    deleted = 0
    while True:
        began = time.monotonic()
        some = step(lambda db: _attempts(db, before))
        deleted += some
        if some < _STEP:
            break
        rest(began)
    # An identity outlives its attempts, and so do the alerts about it.
    keep = "substr(key, 1, 14) <> 'model_changed:'"
    step(lambda db: db.run(f"DELETE FROM alerts WHERE claimed_at < ? AND {keep}", (before,)))  # noqa: S608
    step(lambda db: db.run("DELETE FROM refusals WHERE last_at < ?", (before,)))
    for counter in counters.all:
        _forget(step, counter, before, now)
    return deleted


def _attempts(db: Transaction, before: int) -> int:
    some = f"SELECT id FROM attempts WHERE {_OLD} ORDER BY started_at LIMIT {_STEP}"  # noqa: S608  # constant text
    return db.run(f"DELETE FROM attempts WHERE id IN ({some})", (before,))  # noqa: S608  # constant text


def _forget(step: Callable[[Callable[[Transaction], int]], int], counter: Counter, before: int, now: int) -> None:
    """Deletes counts that no limit can look at again: of windows that are over, and of calls that are gone."""
    per = counter.scope.per
    if per == "total" or counter.carried:
        return
    gone = "start < ?"
    values: tuple[int, ...] = (min(before, counter.scope.counted_from(now)),)
    if per in ("call", "answer"):
        # In the words of the two indexes.
        same = "attempts.call_id = budget_windows.part"
        if per == "answer":
            same = (
                "((attempts.call_id = budget_windows.part AND attempts.group_id = attempts.call_id) OR "
                "(attempts.group_id = budget_windows.part AND attempts.group_id <> attempts.call_id))"
            )
        gone, values = f"NOT EXISTS (SELECT 1 FROM attempts WHERE {same})", ()  # noqa: S608  # constant text
    last = ("", -1)
    while True:
        began = time.monotonic()
        reached: list[tuple[str, int]] = []

        def some(db: Transaction, last: tuple[str, int] = last, reached: list[tuple[str, int]] = reached) -> int:
            rows = db.all(
                "SELECT part, start FROM budget_windows WHERE budget = ? AND (part, start) > (?, ?) "  # noqa: S608
                f"ORDER BY part, start LIMIT {_STEP}",
                (counter.id, *last),
            )
            if len(rows) == _STEP:
                reached.append(cast("tuple[str, int]", rows[-1]))
            if not rows:
                return 0
            return db.run(
                "DELETE FROM budget_windows WHERE budget = ? AND (part, start) > (?, ?) AND (part, start) <= (?, ?) "  # noqa: S608  # constant text
                f"AND reserved_pico = 0 AND {gone}",
                (counter.id, *last, *rows[-1], *values),
            )

        step(some)
        if not reached:
            return
        last = reached[0]
        rest(began)
