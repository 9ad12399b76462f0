"""2. Thinking tokens are priced once, inside the completion tokens, and shown apart."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, Door, ask, every_door


@every_door
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "both", "inline", "inline-open"])
async def test_reasoning_is_billed_once_and_shown_apart(door: Door, field: str) -> None:
    async with BillServer(REFERENCE.but(reasoning_field=field)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.amount == server.bill.total == REFERENCE_COST
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (500, 300)
    assert reply.cost.completion.amount == Decimal("0.00084")
    assert reply.cost.reasoning.amount == Decimal("0.000504")
    assert reply.reasoning is not None
    assert reply.reasoning.split() == ["the"] * 300
    assert reply.text.split() == ["the"] * 200
    assert "think>" not in reply.text + reply.reasoning
    assert reply.mode == "thinking"


@every_door
async def test_reasoning_is_counted_where_the_host_does_not_say(door: Door) -> None:
    async with BillServer(REFERENCE.but(usage_shape="bare", cache_hit=0)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.amount == server.bill.total
    assert reply.usage.completion_tokens == 500
    assert reply.usage.reasoning_tokens == 300


@every_door
async def test_standard_mode_has_no_reasoning_to_bill(door: Door) -> None:
    async with BillServer(REFERENCE) as server:
        reply = await ask(door, server, mode="standard", max_tokens=500)
    assert reply.cost.amount == server.bill.total
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (200, 0)
    assert reply.reasoning is None
    assert not reply.cost.reasoning
