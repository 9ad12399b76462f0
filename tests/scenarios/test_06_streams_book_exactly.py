"""6. A stream books its exact cost with no extra option, wherever the endpoint puts the usage."""

from __future__ import annotations

import pytest

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, REFERENCE_COST, Door, ask, booked, every_stream, settings


@every_stream
@pytest.mark.parametrize("usage", ["own-chunk", "last-chunk", "every-chunk"])
@pytest.mark.parametrize("merge", [1, 7, 1000])
async def test_a_stream_books_its_exact_cost(door: Door, usage: str, merge: int) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(usage=usage, merge=merge, keep_alive=3 if merge == 7 else 0)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
    assert reply.cost.amount == booked(ledger) == server.bill.total == REFERENCE_COST
    assert reply.cost.certainty == "exact"
    assert reply.text.split() == ["the"] * 200
    assert reply.reasoning is not None
    assert reply.reasoning.split() == ["the"] * 300
    ledger.close()


@every_stream
@pytest.mark.parametrize("usage", ["own-chunk", "last-chunk", "every-chunk"])
async def test_a_stream_without_done_marker_books_exactly_too(door: Door, usage: str) -> None:
    async with BillServer(REFERENCE.but(usage=usage, done=False)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.amount == server.bill.total == REFERENCE_COST


@every_stream
async def test_a_stream_without_usage_is_counted_not_zero(door: Door) -> None:
    async with BillServer(REFERENCE.but(usage="absent", cache_hit=0)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500)
    assert reply.cost.certainty == "estimated"
    assert reply.cost.amount == server.bill.total
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2000, 500)


async def test_streamed_and_unstreamed_answers_are_the_same_reply() -> None:
    async with BillServer(REFERENCE) as server, AsyncClient(**settings(server)) as client:
        plain = await client.chat(PROMPT, mode="thinking", max_tokens=500)
        async with client.stream(PROMPT, mode="thinking", max_tokens=500) as stream:
            async for _ in stream:
                pass
        streamed = stream.reply
    assert type(streamed) is type(plain)
    same = ("text", "reasoning", "mode", "requested_mode", "finish_reason", "usage", "cost", "model", "host")
    assert {name: getattr(streamed, name) for name in same} == {name: getattr(plain, name) for name in same}
