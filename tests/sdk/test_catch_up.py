"""Who leaves a stream leaves what has arrived behind him unread: it is billed, so it is counted before it is booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift.middleware import CallNext, Request, Response
from deepthrift_pricing import Attempt, Ledger, Usage
from tests.sdk.raw_server import END, part, raw_server, stream_head
from tests.support.doors import settings

WORDS = 40
USAGE = {"prompt_tokens": 9, "completion_tokens": 50, "prompt_cache_hit_tokens": 4}
LAST: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
DONE = b"data: [DONE]\n\n"


def event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


WORD = event({"choices": [{"index": 0, "delta": {"content": " the"}}]})


def served(*rest: bytes) -> list[bytes]:
    """The head and every chunk in one packet, each chunk apart in it."""
    return [b"".join([stream_head(), *(part(each) for each in [WORD] * WORDS), *rest])]


async def leave(url: str, door: str, ledger: Ledger, how: str = "break", **client: Any) -> tuple[Attempt, str]:
    """Read one word, and leave; what was booked, and the text of the reply."""
    wanted = settings(url, ledger=ledger, **client)
    if door == "sync":
        return await asyncio.to_thread(_leave_sync, wanted, ledger)
    async with AsyncClient(**wanted) as opened:
        stream = opened.stream("Hi", max_tokens=99)
        entered = asyncio.Event()

        async def read() -> None:
            async with stream:
                async for each in stream:
                    if isinstance(each, TextDelta):
                        entered.set()
                        if how == "break":
                            break
                        await asyncio.sleep(60)

        task = asyncio.create_task(read())
        await entered.wait()
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        reply = stream.reply
    [attempt] = ledger.attempts()
    assert reply.attempts == (attempt,)
    return attempt, reply.text


def _leave_sync(wanted: dict[str, Any], ledger: Ledger) -> tuple[Attempt, str]:
    with Client(**wanted) as opened, opened.stream("Hi", max_tokens=99) as stream:
        for each in stream:
            if isinstance(each, TextDelta):
                break
    [attempt] = ledger.attempts()
    return attempt, stream.reply.text


@pytest.mark.parametrize(("door", "how"), [("async", "break"), ("async", "cancel"), ("sync", "break")])
async def test_what_has_arrived_is_counted(door: str, how: str) -> None:
    with Ledger.open() as ledger:
        async with raw_server(served()) as server:
            attempt, text = await leave(server.url, door, ledger, how)
    assert text == " the" * WORDS
    assert attempt.usage is not None
    assert (attempt.status, attempt.usage.completion_tokens, attempt.usage.certainty) == ("settled", WORDS, "estimated")
    assert attempt.finish_reason == "incomplete"


@pytest.mark.parametrize("ending", [part(DONE) + END, END, part(DONE)], ids=["whole", "no end mark", "more to come"])
@pytest.mark.parametrize("door", ["async", "sync"])
async def test_an_answer_that_is_here_to_its_end_is_booked_as_the_host_told(door: str, ending: bytes) -> None:
    with Ledger.open() as ledger:
        async with raw_server(served(part(event(LAST)), ending)) as server:
            attempt, text = await leave(server.url, door, ledger)
    assert text == " the" * WORDS
    assert attempt.usage == Usage.of(9, 50, cache_hit=4)
    assert (attempt.status, attempt.finish_reason, attempt.error) == ("settled", "stop", None)


@pytest.mark.parametrize("rest", [part(b"data: {garbage\n\n"), part(event({"error": {"message": "no"}})), b"no chunk"])
async def test_what_is_wrong_with_the_rest_is_nobodys_concern(rest: bytes) -> None:
    with Ledger.open() as ledger:
        async with raw_server(served(rest)) as server:
            attempt, _ = await leave(server.url, "async", ledger)
    assert attempt.usage is not None
    assert (attempt.usage.completion_tokens, attempt.error) == (WORDS, None)


async def test_middleware_is_metered_to_the_same_point() -> None:
    async def passes(request: Request, call_next: CallNext) -> Response:
        return await call_next(request)

    with Ledger.open() as ledger:
        async with raw_server(served()) as server:
            attempt, _ = await leave(server.url, "async", ledger, middleware=[passes])
    assert attempt.usage is not None
    assert attempt.usage.completion_tokens == WORDS


class Endless(httpx.AsyncBaseTransport):
    """An answer without end that never has to be waited for."""

    def __init__(self) -> None:
        self.served = 0
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self._Body(self))

    class _Body(httpx.AsyncByteStream):
        def __init__(self, owner: Endless) -> None:
            self._owner = owner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                self._owner.served += 1
                yield WORD

        async def aclose(self) -> None:
            self._owner.closed = True


async def test_an_answer_without_end_is_left_all_the_same() -> None:
    transport = Endless()
    with Ledger.open() as ledger:
        attempt, _ = await leave("http://127.0.0.1:9/v1", "async", ledger, transport=transport)
    assert attempt.usage is not None
    assert attempt.usage.completion_tokens > 1
    assert transport.served < 2**20 / len(WORD) + 10
    assert transport.closed


async def test_a_cancellation_while_it_catches_up_is_booked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving is itself cancelled: what had been taken in by then is booked."""
    from deepthrift._call.attempt.streamed import StreamAttempt

    async def hangs(self: StreamAttempt) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(StreamAttempt, "catch_up", hangs)
    with Ledger.open() as ledger:
        async with raw_server(served()) as server, AsyncClient(**settings(server.url, ledger=ledger)) as client:
            stream = client.stream("Hi", max_tokens=99)
            assert await anext(stream)
            task = asyncio.create_task(stream.aclose())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            [attempt] = ledger.attempts()
    assert attempt.status == "settled"
