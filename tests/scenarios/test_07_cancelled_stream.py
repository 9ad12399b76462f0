"""7. A cancelled stream books the prompt and the tokens that arrived, marked as estimated."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Client, ReasoningDelta, TextDelta
from deepthrift_pricing import Attempt, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, booked, settings

ARRIVED = 40
"""Tokens that arrive before the server stands still."""
STALLED = REFERENCE.but(cache_hit=0, stall_after=ARRIVED)
"""Without cache hits, so that the count of a client, who cannot know them, can be exact."""


class UserError(Exception):
    """Raised by the caller's own code."""


def _check(server: BillServer, ledger: Ledger) -> Attempt:
    [line] = server.bill.lines
    assert line.completion_tokens == ARRIVED
    assert not line.complete
    [attempt] = ledger.attempts()
    assert attempt.status == "settled"
    assert attempt.usage is not None
    assert attempt.usage.certainty == attempt.cost.certainty == "estimated"
    assert (attempt.usage.prompt_tokens, attempt.usage.completion_tokens) == (2000, ARRIVED)
    assert booked(ledger) == server.bill.total == Decimal("0.0011872")
    ledger.close()
    return attempt


@pytest.mark.parametrize("way", ["break", "exception", "aclose", "cancel", "timeout"])
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_a_stream_given_up_books_what_arrived(way: str, mode: str, tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'spend.db'}")
    async with BillServer(STALLED) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        got, limit = asyncio.Event(), asyncio.timeout(None)

        async def read() -> None:
            seen = 0
            async with client.stream(PROMPT, mode=mode, max_tokens=500) as stream:  # type: ignore[arg-type]
                async for event in stream:
                    seen += isinstance(event, TextDelta | ReasoningDelta)
                    if seen < ARRIVED:
                        continue
                    got.set()
                    if way == "timeout":
                        limit.reschedule(asyncio.get_running_loop().time())
                    if way == "break":
                        break
                    if way == "aclose":
                        await stream.aclose()
                        break
                    if way == "exception":
                        raise UserError

        if way == "exception":
            with pytest.raises(UserError):
                await read()
        elif way == "timeout":
            with pytest.raises(TimeoutError):
                async with limit:
                    await read()
        elif way == "cancel":
            task = asyncio.create_task(read())
            await got.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await read()
        await server.wait_quiet()
    attempt = _check(server, ledger)
    assert attempt.usage is not None
    assert attempt.usage.reasoning_tokens == (ARRIVED if mode == "thinking" else 0)


@pytest.mark.parametrize("way", ["break", "exception", "close"])
def test_a_synchronous_stream_given_up_books_what_arrived(way: str) -> None:
    ledger = Ledger.open("memory:")
    with BillServer(STALLED) as server, Client(**settings(server, ledger=ledger)) as client:

        def read() -> None:
            seen = 0
            with client.stream(PROMPT, mode="standard", max_tokens=500) as stream:
                for event in stream:
                    seen += isinstance(event, TextDelta)
                    if seen < ARRIVED:
                        continue
                    if way == "exception":
                        raise UserError
                    if way == "close":
                        stream.close()
                    break

        if way == "exception":
            with pytest.raises(UserError):
                read()
        else:
            read()
        server.quiet()
    _check(server, ledger)


async def test_what_arrived_can_be_seen_after_giving_up() -> None:
    async with BillServer(STALLED) as server, AsyncClient(**settings(server)) as client:
        seen = 0
        async with client.stream(PROMPT, mode="standard", max_tokens=500) as stream:
            async for event in stream:
                seen += isinstance(event, TextDelta)
                if seen == ARRIVED:
                    break
            partial = stream.snapshot()
        await server.wait_quiet()
    assert partial.text.split() == ["the"] * ARRIVED
    assert partial.cost.certainty == "estimated"
    assert partial.cost.amount == server.bill.total


async def test_usage_that_came_with_the_chunks_makes_a_cancelled_stream_exact() -> None:
    """The last chunk told of the cache hits and of every token so far: nothing has to be guessed."""
    ledger = Ledger.open("memory:")
    told = REFERENCE.but(stall_after=ARRIVED, usage="every-chunk")
    async with BillServer(told) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        seen = 0
        async with client.stream(PROMPT, mode="thinking", max_tokens=500) as stream:
            async for event in stream:
                seen += isinstance(event, ReasoningDelta)
                if seen == ARRIVED:
                    break
        await server.wait_quiet()
    assert booked(ledger) == server.bill.total == Decimal("0.00043456")
    [attempt] = ledger.attempts()
    assert attempt.usage is not None
    assert (attempt.usage.cache_hit_tokens, attempt.usage.completion_tokens) == (1536, ARRIVED)
    ledger.close()


async def test_cache_hits_that_nobody_told_of_are_booked_at_the_miss_price() -> None:
    ledger = Ledger.open("memory:")
    silent = REFERENCE.but(stall_after=ARRIVED)
    async with BillServer(silent) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        seen = 0
        async with client.stream(PROMPT, mode="thinking", max_tokens=500) as stream:
            async for event in stream:
                seen += isinstance(event, ReasoningDelta)
                if seen == ARRIVED:
                    break
        await server.wait_quiet()
    assert booked(ledger) == Decimal("0.0011872") > server.bill.total
    ledger.close()
