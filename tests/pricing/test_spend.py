"""Spend, grouped: sums are exact, parts add up, days are local, and what cannot be grouped is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from deepthrift_pricing import Ledger, Mode, Money, PriceBook, SpendRow, Usage
from deepthrift_pricing.errors import ConfigurationError
from tests.pricing.ledgers import NOON, REFERENCE, Clock, wanted

BOOK = PriceBook.named("brief")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[Ledger]:
    with Ledger.open("memory:", clock=clock) as ledger:
        yield ledger


def book(ledger: Ledger, mode: Mode, usage: Usage, tags: dict[str, str] | None = None) -> Money:
    attempt = ledger.try_reserve(wanted("1", mode=mode, tags=tags))
    bill = BOOK.cost(usage, host="vllm", model="m", mode=mode, started_at=NOON)
    ledger.settle(attempt.id, usage=usage, cost=bill, ended_at=NOON, finish_reason="stop")
    return bill.total


def test_two_modes_stay_apart_and_every_part_adds_up(ledger: Ledger) -> None:
    estimated = Usage.of(100, 50, reasoning=20, certainty="estimated")
    standard = book(ledger, "standard", REFERENCE)
    thinking = book(ledger, "thinking", REFERENCE) + book(ledger, "thinking", estimated)
    ledger.hold_unknown(ledger.try_reserve(wanted("0.5", mode="thinking")).id)
    ledger.try_reserve(wanted("0.25", mode="thinking"))
    ledger.release(ledger.try_reserve(wanted("0.125", mode="thinking")).id, ended_at=NOON)
    rows = {row.key["mode"]: row for row in ledger.spend()}
    assert rows.keys() == {"standard", "thinking"}
    assert rows["standard"].total == standard
    row = rows["thinking"]
    assert row.total == thinking + Money.of("0.5")
    assert row.cache_hit + row.cache_miss + row.completion + row.unknown == row.total
    assert row.reserved == Money.of("0.25")
    assert row.unknown == Money.of("0.5")
    assert row.estimated == BOOK.cost(estimated, host="", model="", mode="thinking", started_at=NOON).total
    assert row.reasoning == Money.of("0.0005376")  # 320 × 1.68 ÷ 1,000,000
    assert (row.attempts, row.prompt_tokens, row.cache_hit_tokens) == (5, 2100, 1536)
    assert (row.completion_tokens, row.reasoning_tokens) == (550, 320)
    [everything] = ledger.spend(by=())
    assert everything.total == standard + row.total
    assert everything.key == {}


def test_grouping_by_tags_and_columns(ledger: Ledger) -> None:
    for team, user in (("search", "ann"), ("search", "bob"), ("ads", "ann")):
        book(ledger, "standard", REFERENCE, {"team": team, "user's name": user})
    book(ledger, "thinking", REFERENCE)
    assert [(row.key["tag:team"], row.attempts) for row in ledger.spend(by=("tag:team",))] == [
        ("", 1),
        ("ads", 1),
        ("search", 2),
    ]
    both = ledger.spend(by=("tag:user's name", "mode"))
    assert [tuple(row.key.values()) for row in both] == [("", "thinking"), ("ann", "standard"), ("bob", "standard")]
    for by in ("host", "model", "purpose", "status", "certainty", "call", "group", "finish_reason", "error"):
        rows = ledger.spend(by=(by,))
        assert sum(row.attempts for row in rows) == 4
        assert all(list(row.key) == [by] for row in rows)


def test_days_and_hours_are_those_of_a_zone(ledger: Ledger, clock: Clock) -> None:
    for minutes in (0, 239, 240, 24 * 60):
        clock.now = NOON + timedelta(minutes=minutes)
        book(ledger, "standard", REFERENCE)

    def days(zone: str, by: str = "day") -> dict[str, int]:
        return {row.key[by]: row.attempts for row in ledger.spend(by=(by,), zone=zone)}

    assert days("UTC") == {"2026-11-20": 3, "2026-11-21": 1}
    assert days("Asia/Shanghai") == {"2026-11-20": 2, "2026-11-21": 2}
    assert days("Asia/Kathmandu", "hour") == {"2026-11-20 17:00": 1, "2026-11-20 21:00": 2, "2026-11-21 17:00": 1}
    assert days("UTC", "month") == {"2026-11": 4}
    mixed = ledger.spend(by=("mode", "day", "host"))
    assert [list(row.key) for row in mixed] == [["mode", "day", "host"]] * 2


def test_since_and_until_are_half_open(ledger: Ledger, clock: Clock) -> None:
    for _ in range(3):
        book(ledger, "standard", REFERENCE)
        clock.move(hours=1)

    def attempts(rows: list[SpendRow]) -> int:
        return sum(row.attempts for row in rows)

    hour = timedelta(hours=1)
    assert attempts(ledger.spend(since=NOON + hour)) == 2
    assert attempts(ledger.spend(until=NOON + hour)) == 1
    assert attempts(ledger.spend(since=NOON + hour, until=NOON + 2 * hour)) == 1


@pytest.mark.parametrize("by", ["colour", "tag:", "mode; DROP TABLE attempts", ""])
def test_what_cannot_be_grouped_is_refused(ledger: Ledger, by: str) -> None:
    with pytest.raises(ConfigurationError, match="tag:NAME"):
        ledger.spend(by=(by,))


def test_an_unknown_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="Mars"):
        ledger.spend(by=("day",), zone="Mars/Base")
