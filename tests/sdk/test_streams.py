"""Streams: events, snapshots, and every way of leaving one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepthrift import (
    AsyncClient,
    Client,
    Finished,
    ReasoningDelta,
    StreamStarted,
    TextDelta,
    ToolCallDelta,
)
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import owed, settings
from tests.support.waiting import turns

LONG = Answer(text=[" the"] * 5000, token_delay=0.005)


async def test_events_come_in_order_and_end_in_the_reply() -> None:
    answer = Answer("Paris.", reasoning="Hm, a capital.", tool_calls=[("lookup", '{"x": 1}')])
    async with (
        BillServer(answer) as server,
        AsyncClient(**settings(server)) as client,
        client.stream("Hi", mode="thinking", max_tokens=50) as stream,
    ):
        events = [event async for event in stream]
    kinds = [type(event) for event in events]
    assert kinds[0] is StreamStarted
    assert kinds[-1] is Finished
    assert kinds.index(ReasoningDelta) < kinds.index(TextDelta) < kinds.index(ToolCallDelta)
    assert isinstance(events[-1], Finished)
    assert events[-1].reply is stream.reply
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == stream.reply.text == "Paris."
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == stream.reply.reasoning
    calls = [e for e in events if isinstance(e, ToolCallDelta)]
    assert (calls[0].id, calls[0].name) == ("call_00", "lookup")
    assert "".join(call.arguments for call in calls) == stream.reply.tool_calls[0].arguments == '{"x": 1}'
    assert events[0] == StreamStarted(stream.reply.attempts[0].id)


async def test_a_stream_can_be_read_one_event_at_a_time() -> None:
    async with (
        BillServer(Answer("Paris.")) as server,
        AsyncClient(**settings(server)) as client,
        client.stream("Hi", max_tokens=50) as stream,
    ):
        assert isinstance(await anext(stream), StreamStarted)
        assert await anext(stream) == TextDelta("Paris.")
        assert isinstance(await anext(stream), Finished)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_snapshot_at_any_moment() -> None:
    answer = Answer(text=[" the"] * 50, prompt_tokens=2000)
    async with BillServer(answer) as server, AsyncClient(**settings(server)) as client:
        stream = client.stream(" the" * 1996, max_tokens=50)
        before = stream.snapshot()
        assert (before.text, before.cost.amount) == ("", 0)
        with pytest.raises(ConfigurationError, match="snapshot"):
            _ = stream.reply
        async with stream:
            seen = 0
            async for event in stream:
                now = stream.snapshot()
                if isinstance(event, TextDelta):
                    seen += 1
                    assert now.text.startswith(" the" * seen)
                    assert now.usage.prompt_tokens == 2000
                    assert now.cost.amount <= server.bill.total or not server.bill.lines
        assert stream.snapshot() is stream.reply
        assert stream.reply.cost.amount == server.bill.total


async def test_a_retry_before_any_text_starts_the_stream_again() -> None:
    async with (
        BillServer([Failure(503, "busy", retry_after="0"), Answer("Paris.")]) as server,
        AsyncClient(**settings(server)) as client,
        client.stream("Hi", max_tokens=50) as stream,
    ):
        events = [event async for event in stream]
    assert [type(event) for event in events] == [StreamStarted, TextDelta, Finished]
    assert [attempt.status for attempt in stream.reply.attempts] == ["released", "settled"]


async def test_breaking_out_without_a_block_stops_the_upstream() -> None:
    async with BillServer(LONG) as server, AsyncClient(**settings(server)) as client:
        async for event in client.stream("Hi", max_tokens=8000):
            if isinstance(event, TextDelta):
                break
        await server.wait_quiet()
        assert server.requests[0].disconnected
        assert client.ledger.attempts()[0].status == "settled"


async def test_another_task_can_end_a_stream() -> None:
    async with BillServer(Answer(" the" * 9, stall_after=3)) as server, AsyncClient(**settings(server)) as client:
        stream = client.stream("Hi", max_tokens=50)
        got = asyncio.Event()

        async def read() -> list[Any]:
            seen = []
            async for event in stream:
                seen.append(event)
                if sum(isinstance(each, TextDelta) for each in seen) == 3:
                    got.set()
            return seen

        reading = asyncio.create_task(read())
        await got.wait()
        await turns()
        await stream.aclose()
        events = await reading
        assert sum(isinstance(event, TextDelta) for event in events) == 3
        assert stream.reply.finish_reason == "incomplete"
        assert stream.reply.cost.certainty == "estimated"
        await server.wait_quiet()
        assert server.requests[0].disconnected


async def test_two_tasks_cannot_read_one_stream() -> None:
    async with (
        BillServer(Answer(" the" * 9, stall_after=3)) as server,
        AsyncClient(**settings(server)) as client,
        client.stream("Hi", max_tokens=50) as stream,
    ):
        while not isinstance(await anext(stream), TextDelta):
            pass
        await anext(stream)
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        await turns()
        with pytest.raises(ConfigurationError, match="two tasks"):
            await anext(stream)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_stream_that_is_dropped_is_told_and_booked() -> None:
    async with BillServer(LONG) as server, AsyncClient(**settings(server)) as client:
        kept = [client.stream("Hi", max_tokens=8000)]
        while not isinstance(await anext(kept[0]), TextDelta):
            pass
        with pytest.warns(ResourceWarning, match="dropped"):
            kept.clear()
        await server.wait_quiet()
        assert client.ledger.attempts()[0].status == "settled"


async def test_a_stream_that_was_never_read_sends_nothing() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        async with client.stream("Hi", max_tokens=5):
            pass
        await client.stream("Hi", max_tokens=5).aclose()
        assert not server.connections
        assert not client.ledger.attempts()


@pytest.mark.parametrize("step", range(12))
async def test_a_cancel_at_every_await_books_the_attempt(step: int) -> None:
    """The task is cancelled in its nth turn of the event loop: whatever it does then, nothing stays reserved."""
    ledger = Ledger.open("memory:")
    async with BillServer(Answer(" the" * 20)) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        for streamed in (False, True):

            async def work(streamed: bool = streamed) -> None:
                if not streamed:
                    await client.chat("Hi", max_tokens=50)
                    return
                async with client.stream("Hi", max_tokens=50) as stream:
                    async for _ in stream:
                        pass

            task = asyncio.create_task(work())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await server.wait_quiet()
        assert all(attempt.status != "reserved" for attempt in ledger.attempts())
        assert sum(attempt.cost.amount for attempt in ledger.attempts()) >= owed(server)
        assert (await client.chat("Hi", max_tokens=50)).text == " the" * 20
    ledger.close()


def test_a_synchronous_stream_gives_the_same_events() -> None:
    with BillServer(Answer("Paris.")) as server, Client(**settings(server)) as client:
        with client.stream("Hi", max_tokens=50) as stream:
            assert next(stream) == StreamStarted(stream.snapshot().attempts[0].id)
            assert [type(event) for event in stream] == [TextDelta, Finished]
        assert stream.reply.text == "Paris."
        for event in client.stream("Hi", max_tokens=50):
            if isinstance(event, Finished):
                assert event.reply.cost.amount == server.bill.lines[-1].cost


@pytest.mark.parametrize("first", ["closed", "cancelled"])
async def test_who_is_cancelled_while_another_task_closes_his_stream_is_cancelled(first: str) -> None:
    with Ledger.open() as ledger:
        async with BillServer(LONG) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            stream = client.stream("Hi", max_tokens=5000)

            async def read() -> None:
                while await stream.batch():
                    pass

            reading = asyncio.create_task(read())
            await server.until(lambda seen: bool(seen.requests) and seen.requests[0].generated > 2)
            closing = asyncio.create_task(stream.aclose())
            if first == "cancelled":
                reading.cancel()
            await asyncio.sleep(0)  # the other task has begun to close it
            if first == "closed":
                reading.cancel()
            await closing
            with pytest.raises(asyncio.CancelledError):
                await reading
        [attempt] = ledger.attempts()
    assert attempt.status == "settled"
