"""Usage in every shape, and the price of the right day and hour (R22–R25, R33, R37)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import Reply
from deepthrift_pricing import Ledger, Price, PriceBook, Usage
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door, every_stream

SHORT = " the" * 96
"""100 tokens in V3.1's frame."""
SHAPES = ("deepseek", "documented", "openai", "sglang")
PLACES = ("own-chunk", "last-chunk", "every-chunk")


async def billed_exactly(door: Door, shape: Any, when: Any) -> Reply:
    """A call of 100 prompt tokens, 64 of them from the cache; checked against the true bill."""
    answer = Answer("Paris.", prompt_tokens=100, cache_hit=64, reasoning="Hm, hm.", usage=when, usage_shape=shape)
    async with BillServer(answer) as server:
        reply = await ask(door, server, SHORT, mode="thinking", max_tokens=50)
    assert reply.cost.amount == server.bill.total
    assert reply.cost.certainty == "exact"
    return reply


@every_door
@pytest.mark.parametrize("shape", SHAPES)
async def test_r22_cached_tokens_are_part_of_the_prompt_and_billed_once(door: Door, shape: Any) -> None:
    reply = await billed_exactly(door, shape, "own-chunk")
    usage = reply.usage
    assert usage.cache_hit_tokens + usage.cache_miss_tokens == usage.prompt_tokens == 100
    assert reply.cost.total == reply.cost.cache_hit + reply.cost.cache_miss + reply.cost.completion


@every_door
@pytest.mark.parametrize("shape", SHAPES)
async def test_r23_cache_hits_are_read_under_both_names(door: Door, shape: Any) -> None:
    reply = await billed_exactly(door, shape, "last-chunk")
    assert (reply.usage.cache_hit_tokens, reply.usage.cache_miss_tokens) == (64, 36)


@every_stream
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("when", PLACES[:2])
async def test_r24_usage_may_come_in_a_chunk_of_its_own_or_on_the_last_one(door: Door, shape: Any, when: Any) -> None:
    assert (await billed_exactly(door, shape, when)).usage.prompt_tokens == 100


@every_stream
@pytest.mark.parametrize("shape", SHAPES)
async def test_r25_usage_on_every_chunk_is_not_added_up(door: Door, shape: Any) -> None:
    reply = await billed_exactly(door, shape, "every-chunk")
    assert reply.usage.prompt_tokens == 100


@every_door
async def test_r24_without_usage_the_cost_is_estimated_not_zero(door: Door) -> None:
    answer = Answer([" the"] * 20, reasoning=[" the"] * 10, prompt_tokens=2000, usage="absent")
    ledger = Ledger.open("memory:")
    async with BillServer(answer) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50, client={"ledger": ledger})
    assert reply.cost.certainty == reply.usage.certainty == "estimated"
    assert reply.cost.amount == server.bill.total
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (30, 10)
    assert reply.usage.notes
    ledger.close()


@every_door
async def test_r33_a_price_is_of_the_right_magnitude_and_of_its_day(door: Door) -> None:
    """W&B's price was once listed 100,000 times too high, and V3's stayed listed for V3.1."""
    for row in PriceBook.builtin().rows:
        if row.currency == "USD":
            assert Decimal("0.001") <= row.cache_miss <= 100, row.id
            assert (row.cache_hit or 0) <= row.cache_miss <= row.completion <= 100, row.id
    usage = Usage.of(1_000_000, 1_000_000)
    old, new = (
        PriceBook.builtin().cost(
            usage, host="deepseek", model="deepseek-chat", mode="standard", started_at=day, ended_at=day
        )
        for day in (datetime(2025, 9, 5, 15, 59, tzinfo=UTC), datetime(2025, 9, 5, 16, tzinfo=UTC))
    )
    assert (old.amount, new.amount) == (Decimal("1.37"), Decimal("2.24"))
    async with BillServer(Answer("Paris.", prompt_tokens=100)) as server:
        reply = await ask(door, server, SHORT, max_tokens=50, client={"host": "wandb", "model": None, "prices": None})
    assert reply.cost.amount == (100 * Decimal("0.55") + Decimal("1.65")) / 1_000_000


def around_now(inside: str, outside: str) -> PriceBook:
    """One price in the hours around now, another one in the rest of the day; one of the two windows wraps midnight."""
    now = datetime.now(UTC)
    begin, end = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-6, 6))
    row = {"host": "*", "models": ("*",), "source": "https://example.com", "checked": now.date()}
    return PriceBook(
        [
            Price.model_validate(
                {**row, "id": "now", "daily": (begin, end), "cache_miss": inside, "completion": inside}
            ),
            Price.model_validate(
                {**row, "id": "else", "daily": (end, begin), "cache_miss": outside, "completion": outside}
            ),
        ]
    )


@every_door
async def test_r37_a_call_is_billed_at_the_price_of_its_hour(door: Door) -> None:
    async with BillServer(Answer("Paris.", prompt_tokens=100)) as server:
        reply = await ask(door, server, SHORT, max_tokens=50, client={"prices": around_now("2", "8")})
    assert reply.cost.amount == Decimal(2 * 101) / 1_000_000


@pytest.mark.parametrize(
    ("moment", "dollars"),
    [
        ("2026-08-19T00:59:59", "0.22"),  # a Wednesday, before the peak
        ("2026-08-19T01:00:00", "0.44"),
        ("2026-08-19T03:59:59", "0.44"),
        ("2026-08-19T04:00:00", "0.22"),  # windows are half-open
        ("2026-08-19T06:00:00", "0.44"),
        ("2026-08-22T02:00:00", "0.44"),  # a Saturday, when weekends still had peaks
        ("2026-08-29T02:00:00", "0.22"),  # a Saturday, when they had none any more
        ("2026-08-31T02:00:00", "0.44"),  # a Monday
    ],
)
def test_r37_peak_hours_and_weekends_of_the_official_api(moment: str, dollars: str) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    cost = PriceBook.builtin().cost(
        Usage.of(1_000_000, 0),
        host="deepseek",
        model="deepseek-v4-flash",
        mode="standard",
        started_at=at,
        ended_at=at,
    )
    assert cost.amount == Decimal(dollars)
