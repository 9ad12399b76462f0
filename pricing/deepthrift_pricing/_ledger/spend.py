"""What was spent, grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final, cast

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._ledger.counts.sums import sum_sql, sums_of
from deepthrift_pricing._store.protocol import Transaction, Value
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.window import EPOCH, micros
from deepthrift_pricing._values.zone import zone_of

_COLUMNS: Final = (
    "host", "model", "mode", "purpose", "status", "certainty", "call", "group", "finish_reason", "error",
    "service_tier", "effort",
)  # fmt: skip
_SQL: Final = {"call": "call_id", "group": "group_id"}
_TIMES: Final = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}
_QUARTER: Final = 900_000_000
"""Every time zone's offset is a multiple of a quarter of an hour, so quarters fold into local days and hours."""
_KNOWN: Final = "certainty <> 'unknown'"
_SUMMED: Final = (
    "prompt_tokens",
    "cache_hit_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "CASE WHEN status <> 'reserved' THEN booked_pico ELSE 0 END",
    f"CASE WHEN {_KNOWN} THEN cache_hit_pico ELSE 0 END",
    f"CASE WHEN {_KNOWN} THEN cache_miss_pico ELSE 0 END",
    f"CASE WHEN {_KNOWN} THEN completion_pico ELSE 0 END",
    f"CASE WHEN {_KNOWN} THEN reasoning_pico ELSE 0 END",
    "CASE WHEN certainty = 'estimated' THEN booked_pico ELSE 0 END",
    "CASE WHEN status = 'unknown' THEN booked_pico ELSE 0 END",
    "CASE WHEN status = 'reserved' THEN booked_pico ELSE 0 END",
    f"CASE WHEN {_KNOWN} THEN requests_pico ELSE 0 END",
)
_SUMS: Final = ", ".join(("COUNT(*)", *map(sum_sql, _SUMMED)))


class SpendRow(BaseModel):
    """What attempts of one group cost: `cache_hit + cache_miss + completion + requests + unknown == total`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    key: Mapping[str, str]
    """The group: a value for each name in `by`; an attempt without such a tag or value has an empty one."""
    attempts: int
    prompt_tokens: int
    cache_hit_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    total: Money
    """Settled, and held as unknown; attempts under way are apart, in `reserved`."""
    cache_hit: Money
    cache_miss: Money
    completion: Money
    reasoning: Money
    """The part of `completion` that was spent on reasoning."""
    estimated: Money
    """The part of the total that we counted ourselves."""
    unknown: Money
    """The part of the total that is held at its worst case, because nobody knows better."""
    reserved: Money
    """Worst cases of attempts under way."""
    requests: Money
    """What was billed by request: searches, fetched pages, fees for calls."""


def spend_rows(
    db: Transaction,
    tag_sql: str,
    by: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    zone: str,
) -> list[SpendRow]:
    """The sums over attempts that began from `since` up to `until`, one row for each group and currency.

    `tag_sql` is the store's expression for the value of a tag, with one parameter for its name.
    """
    expressions: list[str] = []
    values: list[Value] = []
    times: list[str] = []
    for name in by:
        if name in _TIMES:
            times.append(name)
        elif name in _COLUMNS:
            expressions.append(f"COALESCE({_SQL.get(name, name)}, '')")
        elif name.startswith("tag:") and len(name) > len("tag:"):
            expressions.append(f"COALESCE({tag_sql}, '')")
            values.append(name.removeprefix("tag:"))
        else:
            known = ", ".join((*_TIMES, *_COLUMNS))
            raise ConfigurationError(f"spend cannot be grouped by {name!r}; group by {known}, or by 'tag:NAME'")
    if times:
        expressions.append(f"started_at / {_QUARTER}")
    where: list[str] = []
    for bound, sign in ((since, ">="), (until, "<")):
        if bound is not None:
            where.append(f"started_at {sign} ?")
            values.append(micros(bound))
    columns = ["currency", *expressions]
    numbers = ", ".join(str(number) for number in range(1, len(columns) + 1))
    sql = f"SELECT {', '.join(columns)}, {_SUMS} FROM attempts "  # noqa: S608  # names are from the lists above
    sql += f"WHERE {' AND '.join(where)} " if where else ""
    sql += f"GROUP BY {numbers} ORDER BY {numbers}"
    try:
        local = zone_of(zone)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    sums: dict[tuple[str, ...], list[int]] = {}
    for row in db.all(sql, values):
        told = iter(row[: len(columns)])
        currency = cast("str", next(told))
        plain = [cast("str", next(told)) for name in by if name not in _TIMES]
        quarter = cast("int", next(told)) if times else 0
        groups = iter(plain)
        key = tuple(_local(quarter, name, local) if name in _TIMES else next(groups) for name in by)
        count, *parts = row[len(columns) :]
        amounts = [int(cast("int", count)), *sums_of(parts)]
        earlier = sums.get((currency, *key))
        sums[currency, *key] = amounts if earlier is None else [a + b for a, b in zip(earlier, amounts, strict=True)]
    return [
        _row(dict(zip(by, group[1:], strict=True)), cast("Currency", group[0]), amounts)
        for group, amounts in sorted(sums.items())
    ]


def _local(quarter: int, name: str, zone: tzinfo) -> str:
    moment = EPOCH + timedelta(microseconds=quarter * _QUARTER)
    return moment.astimezone(zone).strftime(_TIMES[name])


def _row(key: Mapping[str, str], currency: Currency, sums: Sequence[int]) -> SpendRow:
    money = [Money(pico, currency) for pico in sums[5:]]
    return SpendRow(
        key=key,
        attempts=sums[0],
        prompt_tokens=sums[1],
        cache_hit_tokens=sums[2],
        completion_tokens=sums[3],
        reasoning_tokens=sums[4],
        total=money[0],
        cache_hit=money[1],
        cache_miss=money[2],
        completion=money[3],
        reasoning=money[4],
        estimated=money[5],
        unknown=money[6],
        reserved=money[7],
        requests=money[8],
    )
