"""How often budgets refused calls, counted in the store: one row for each budget, window or day, and kind of call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._store.protocol import Transaction, Value
from deepthrift_pricing._values.budget import Budget
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.window import micros, moment

DAY: Final = 86_400_000_000
"""Microseconds of a UTC day."""
_SELECT: Final = (
    "SELECT name, scope, limit_pico, part, host, model, mode, refused, needed_pico, first_at, last_at "
    "FROM refusals JOIN budgets ON budgets.id = refusals.budget"
)


class RefusalRow(BaseModel):
    """Calls of one kind that one budget refused in one window, or in one UTC day where the window is longer."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    budget: str
    """The budget's name, or what tells it from others."""
    limit: Money
    part: str = ""
    """Of a budget that counts tag values apart: which ones, as JSON."""
    host: str
    model: str
    mode: str
    refused: int
    """How many calls were refused."""
    needed: Money
    """The worst case of the latest one."""
    first_at: datetime
    last_at: datetime


def refused_since(db: Transaction, counter: int, budget: Budget, at: int) -> dict[str, int]:
    """How many calls `budget` has refused in its window around `at`, by part."""
    if budget.rolls:
        condition, since = "last_at >= ?", budget.counted_from(at)
    else:
        condition, since = "start >= ?", budget.span(at).start
    rows = db.all(
        f"SELECT part, SUM(refused) FROM refusals WHERE budget = ? AND limit_pico = ? AND {condition} GROUP BY part",  # noqa: S608  # constant text
        (counter, budget.limit.pico, since),
    )
    return {cast("str", part): int(cast("int", count)) for part, count in rows}


def refusal_rows(db: Transaction, since: datetime | None, until: datetime | None) -> list[RefusalRow]:
    """What was refused from `since` up to `until`, in the order in which it began."""
    where: list[str] = []
    values: list[Value] = []
    if since is not None:
        where.append("last_at >= ?")
        values.append(micros(since))
    if until is not None:
        where.append("first_at < ?")
        values.append(micros(until))
    sql = _SELECT + (f" WHERE {' AND '.join(where)}" if where else "") + " ORDER BY first_at, name, host, model, mode"
    return [_row(row) for row in db.all(sql, values)]


def _row(row: Sequence[Value]) -> RefusalRow:
    name, scope, limit, part, host, model, mode, refused, needed, first_at, last_at = row
    currency: Currency = Budget.of_scope(cast("str", scope)).currency
    return RefusalRow(
        budget=cast("str", name),
        limit=Money(cast("int", limit), currency),
        part=cast("str", part),
        host=cast("str", host),
        model=cast("str", model),
        mode=cast("str", mode),
        refused=cast("int", refused),
        needed=Money(cast("int", needed), currency),
        first_at=moment(cast("int", first_at)),
        last_at=moment(cast("int", last_at)),
    )
