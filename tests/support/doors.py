"""The four ways into the client, so that one scenario tries them all: awaited or not, streamed or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import pytest

from deepthrift import AsyncClient, Client, Reply, StreamEvent
from deepthrift_pricing import Ledger, PriceBook
from tests.support.bill_server import Answer, BillServer

Door: TypeAlias = Literal["async", "async stream", "sync", "sync stream"]
DOORS: Final[tuple[Door, ...]] = ("async", "async stream", "sync", "sync stream")
STREAMS: Final[tuple[Door, ...]] = ("async stream", "sync stream")
every_door = pytest.mark.parametrize("door", DOORS)
every_stream = pytest.mark.parametrize("door", STREAMS)

MODEL: Final = "deepseek-ai/DeepSeek-V3.1"
PROMPT_TOKENS: Final = 2000
PROMPT: Final = " the" * (PROMPT_TOKENS - 4)
"""Exactly 2,000 tokens in V3.1's frame: start, user mark, assistant mark and mode mark are the other four."""
REFERENCE: Final = Answer(
    text=[" the"] * 200,
    reasoning=[" the"] * 300,
    prompt_tokens=PROMPT_TOKENS,
    cache_hit=1536,
)
"""The reference call: 1,536 cache hits, 464 misses, 500 completion tokens, 300 of them reasoning."""
REFERENCE_COST: Final = Decimal("0.00120736")
REFERENCE_WORST: Final = Decimal("0.00196")
"""What has to be reserved for it with `max_tokens=500`: nobody knows beforehand what the cache will hold."""


def prices() -> PriceBook:
    """The rates of the reference call, in USD per million tokens."""
    return PriceBook.flat(cache_hit="0.07", cache_miss="0.56", completion="1.68")


def booked(ledger: Ledger) -> Decimal:
    """Everything the ledger holds as spent, whatever its certainty, in USD."""
    return sum((attempt.cost.amount for attempt in ledger.attempts()), Decimal(0))


def owed(server: BillServer) -> Decimal:
    """What has to be booked at least where calls were cancelled, in USD.

    That is the whole bill of plain calls, which are held at their worst case. A cancelled stream is booked as far as
    it was read: what a server had generated ahead of the reader nobody here can know.
    """
    return sum(
        (
            server.bill.rates[line.mode].cost(line.prompt_tokens, line.cache_hit_tokens, 0)
            if server.requests[line.number].stream
            else line.cost
            for line in server.bill.lines
        ),
        Decimal(0),
    )


def spent(ledger: Ledger) -> Decimal:
    """The sum of the ledger's own report, in USD."""
    return sum((row.total.amount for row in ledger.spend()), Decimal(0))


def settings(server: BillServer | str, **changes: Any) -> dict[str, Any]:
    """Arguments of a client for `server` at the reference rates."""
    url = server if isinstance(server, str) else server.url
    return {"base_url": url, "host": "vllm", "model": MODEL, "api_key": "key", "prices": prices(), **changes}


async def ask(
    door: Door,
    server: BillServer | str,
    messages: str | Sequence[Any] = PROMPT,
    *,
    client: dict[str, Any] | None = None,
    **call: Any,
) -> Reply:
    """One call through one door with a client of its own; `client` holds its further settings."""
    options = settings(server, **(client or {}))
    if door.startswith("async"):
        async with AsyncClient(**options) as opened:
            return await through_async(opened, messages, streamed=door.endswith("stream"), **call)
    return await asyncio.to_thread(_in_sync, options, messages, door.endswith("stream"), call)


def _in_sync(options: dict[str, Any], messages: Any, streamed: bool, call: dict[str, Any]) -> Reply:
    with Client(**options) as opened:
        return through_sync(opened, messages, streamed=streamed, **call)


async def through_async(client: AsyncClient, messages: Any, *, streamed: bool, **call: Any) -> Reply:
    if not streamed:
        return await client.chat(messages, **call)
    async with client.stream(messages, **call) as stream:
        async for _ in stream:
            pass
    return stream.reply


def through_sync(client: Client, messages: Any, *, streamed: bool, **call: Any) -> Reply:
    if not streamed:
        return client.chat(messages, **call)
    with client.stream(messages, **call) as stream:
        for _ in stream:
            pass
    return stream.reply


async def events_of(
    door: Door,
    server: BillServer | str,
    messages: str | Sequence[Any] = PROMPT,
    *,
    client: dict[str, Any] | None = None,
    **call: Any,
) -> list[StreamEvent]:
    """The events of one streamed call through one door."""
    options = settings(server, **(client or {}))
    if door == "async stream":
        async with AsyncClient(**options) as opened, opened.stream(messages, **call) as stream:
            return [event async for event in stream]

    def read() -> list[StreamEvent]:
        with Client(**options) as opened, opened.stream(messages, **call) as stream:
            return list(stream)

    return await asyncio.to_thread(read)
