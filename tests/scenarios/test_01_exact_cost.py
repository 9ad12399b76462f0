"""1. The reference call costs exactly what the provider bills for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift_pricing import Ledger, PriceBook
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, Door, ask, booked, every_door, prices, spent


@every_door
@pytest.mark.parametrize("book", [prices(), PriceBook.named("official-2025-09-05")], ids=["flat", "official"])
async def test_the_reference_call_costs_exactly_its_bill(door: Door, book: PriceBook) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger, "prices": book})
    assert server.bill.total == REFERENCE_COST
    assert reply.cost.amount == REFERENCE_COST
    assert reply.cost.certainty == "exact"
    assert booked(ledger) == spent(ledger) == REFERENCE_COST
    assert reply.cost.cache_hit.amount == Decimal("0.00010752")
    assert reply.cost.cache_miss.amount == Decimal("0.00025984")
    assert reply.cost.completion.amount == Decimal("0.00084")
    ledger.close()


@every_door
@pytest.mark.parametrize("shape", ["deepseek", "documented", "openai", "sglang"])
async def test_every_way_to_write_usage_comes_to_the_same_cost(door: Door, shape: str) -> None:
    async with BillServer(REFERENCE.but(usage_shape=shape)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.amount == server.bill.total == REFERENCE_COST
    assert (reply.usage.prompt_tokens, reply.usage.cache_hit_tokens, reply.usage.cache_miss_tokens) == (2000, 1536, 464)
    assert reply.usage.completion_tokens == 500


@every_door
async def test_a_host_that_hides_its_cache_hits_is_booked_at_the_miss_price(door: Door) -> None:
    async with BillServer(REFERENCE.but(usage_shape="bare", cache_hit=0)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.amount == server.bill.total == Decimal("0.00196")


async def test_ten_calls_add_up_without_rounding() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(cache_hit=1)) as server:
        for _ in range(10):
            await ask("async", server, mode="thinking", max_tokens=500, client={"ledger": ledger})
    assert booked(ledger) == spent(ledger) == server.bill.total == Decimal("0.0195951")
    ledger.close()
