"""Counts of budgets above what a 64-bit column holds: whole carries lie in rows of their own.

A row of `budget_windows` counts up to some millions of a currency's unit. Before it can overflow, its whole multiples
of `CARRY` move to the row of the same part and start under the negative id of the scope, in units of `CARRY`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from deepthrift_pricing._store.protocol import Transaction, Value

CARRY: Final = 10**9
"""One unit of a carry, in 10⁻¹² of the currency."""
FULL: Final = 10**18
"""A count above this is carried: a million in units of the currency."""
UNCHECKED: Final = 10**17
"""What one process adds to a scope before it looks whether a count is full."""

_UPSERT: Final = (
    "INSERT INTO budget_windows (budget, part, start, spent_pico, reserved_pico, unknown_pico) "
    "VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (budget, part, start) DO UPDATE SET "
    "spent_pico = budget_windows.spent_pico + excluded.spent_pico, "
    "reserved_pico = budget_windows.reserved_pico + excluded.reserved_pico, "
    "unknown_pico = budget_windows.unknown_pico + excluded.unknown_pico"
)
_FULL: Final = (
    "SELECT part, start, spent_pico, reserved_pico, unknown_pico FROM budget_windows "  # noqa: S608  # constant text
    f"WHERE budget = ? AND (spent_pico > {FULL} OR reserved_pico > {FULL} OR unknown_pico > {FULL})"
)


def is_large(change: Sequence[int]) -> bool:
    """Whether a change has to be added with `add_large`."""
    return any(abs(amount) > FULL for amount in change)


def add_large(db: Transaction, budget: int, part: str, start: int, change: Sequence[int]) -> None:
    """Adds a change of any size to the count of a scope: most of it as carries, the rest as usual."""
    high = [amount // CARRY if abs(amount) > FULL else 0 for amount in change]
    low = [amount - carried * CARRY for amount, carried in zip(change, high, strict=True)]
    db.run(_UPSERT, (budget, part, start, *low))
    if any(high):
        _carry(db, budget, part, start, high)


def carry_full(db: Transaction, budget: int) -> bool:
    """Moves what is near the end of a column into carries. Whether there was any."""
    rows = db.all(_FULL, (budget,))
    for part, start, *amounts in rows:
        high = [int(cast("int", amount)) // CARRY for amount in amounts]
        db.run(_UPSERT, (budget, part, start, *(-carried * CARRY for carried in high)))
        _carry(db, budget, cast("str", part), cast("int", start), high)
    return bool(rows)


def carried_ids(db: Transaction) -> set[int]:
    """The scopes that have carries."""
    return {-int(cast("int", row[0])) for row in db.all("SELECT DISTINCT budget FROM budget_windows WHERE budget < 0")}


def _carry(db: Transaction, budget: int, part: str, start: int, high: Sequence[Value]) -> None:
    if db.one("SELECT 1 FROM budget_windows WHERE budget = ? LIMIT 1", (-budget,)) is None:
        # Other processes look for carries when the version of the scopes changes.
        db.run("UPDATE ledger SET value = value + 1 WHERE name = 'budgets_version'")
    db.run(_UPSERT, (-budget, part, start, *high))
