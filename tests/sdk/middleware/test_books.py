"""Whatever middleware does, in any combination, the ledger holds what the endpoint billed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift import AsyncClient
from deepthrift.errors import DeepthriftError
from deepthrift.middleware import CallNext, Middleware, Request, Response, ResponseCache
from deepthrift.testing import MockBehaviour, MockDisconnect, MockError, MockReply, MockTransport
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import prices
from tests.support.doors import settings as client_settings

PLAIN: Final = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Mine."}}]
}
EVENTS: Final = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Mine."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
ANSWER: Final = MockReply("one two three", prompt_tokens=100, cache_hit_tokens=50, completion_tokens=40)
BILL: Final = (50 * Decimal("0.07") + 50 * Decimal("0.56") + 40 * Decimal("1.68")) / 10**6


class Mine(Exception):
    """A middleware's own."""


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def own(request: Request) -> Response:
    return Response(chunks=one(EVENTS)) if request.stream else Response.of_json(PLAIN)


async def passes(request: Request, call_next: CallNext) -> Response:
    return await call_next(request.with_headers({"x-trace": "1"}))


async def answers(request: Request, call_next: CallNext) -> Response:
    return own(request)


async def refuses(request: Request, call_next: CallNext) -> Response:
    return Response.of_json({"error": {"message": "no"}}, status=429)


async def raises_before(request: Request, call_next: CallNext) -> Response:
    raise Mine


async def raises_after(request: Request, call_next: CallNext) -> Response:
    await read(await call_next(request))
    raise Mine


async def rewrites(request: Request, call_next: CallNext) -> Response:
    response = await read(await call_next(request))
    return own(request) if response.status == 200 else response


async def covers(request: Request, call_next: CallNext) -> Response:
    try:
        response = await call_next(request)
    except (DeepthriftError, Mine):
        return own(request)
    return response if response.status == 200 else own(request)


async def read(response: Response) -> Response:
    """The response with its stream read to the end."""
    if response.chunks is None:
        return response
    data = b"".join([chunk async for chunk in response.chunks])
    return replace(response, chunks=one(data))


KINDS: Final[list[Middleware]] = [passes, answers, refuses, raises_before, raises_after, rewrites, covers]
BEHAVIOURS: Final[list[MockBehaviour]] = [ANSWER, MockError(429), MockError(400), MockDisconnect()]


async def run(layers: list[Middleware], behaviour: MockBehaviour, *, stream: bool) -> tuple[Any, list[Any], int]:
    transport = MockTransport(behaviour)
    with Ledger.open("memory:") as ledger:
        async with AsyncClient(
            "http://test.invalid/v1",
            host="vllm",
            prices=prices(),
            ledger=ledger,
            transport=transport,
            middleware=layers,
            max_retries=0,
        ) as client:
            reply = None
            try:
                if stream:
                    async with client.stream("Why?", max_tokens=64) as opened:
                        async for _ in opened:
                            pass
                    reply = opened.reply
                else:
                    reply = await client.chat("Why?", max_tokens=64)
            except (DeepthriftError, Mine):
                pass
        return reply, ledger.attempts(), len(transport.requests)


@settings(max_examples=60)
@given(layers=st.lists(st.sampled_from(KINDS), max_size=3), behaviour=st.sampled_from(BEHAVIOURS), stream=st.booleans())
def test_the_books_hold_what_was_billed(layers: list[Middleware], behaviour: MockBehaviour, stream: bool) -> None:
    reply, attempts, asked = asyncio.run(run(layers, behaviour, stream=stream))
    [attempt] = attempts
    if not asked or isinstance(behaviour, MockError):
        assert (attempt.status, attempt.cost.amount) == ("released", 0)
    elif isinstance(behaviour, MockDisconnect):
        assert (attempt.status, attempt.cost.total) == ("unknown", attempt.reserved)
    else:
        assert (attempt.status, attempt.cost.amount, attempt.cost.certainty) == ("settled", BILL, "exact")
    assert asked <= 1
    if reply is not None:
        assert reply.cost.total == attempt.cost.total
        assert reply.text in ("Mine.", "one two three")


async def test_a_storm_of_cancellations_leaves_nothing_behind(tmp_path: Path) -> None:
    chance = random.Random(7)
    ledger = Ledger.open("memory:")
    with ResponseCache(tmp_path / "cache.db") as cache:
        async with (
            BillServer(Answer("one two three", token_delay=0.002)) as server,
            AsyncClient(**client_settings(server, ledger=ledger, middleware=[cache, passes])) as client,
        ):

            async def call(number: int) -> None:
                if number % 2:
                    await client.chat(f"Question {number % 12}?", max_tokens=20)
                    return
                async with client.stream(f"Question {number % 12}?", max_tokens=20) as stream:
                    async for _ in stream:
                        pass

            tasks = [asyncio.create_task(call(number)) for number in range(60)]
            for task in tasks:
                asyncio.get_running_loop().call_later(chance.random() * 0.2, task.cancel)
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(each) for each in ended} <= {type(None), asyncio.CancelledError}
            await server.wait_quiet()
            assert "reserved" not in {attempt.status for attempt in ledger.attempts()}
            assert (await client.chat("Still there?", max_tokens=20)).text == "one two three"
