"""A routed stream shows nothing that it has to take back, or says so when it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepthrift import Client, Finished, ReasoningDelta, TextDelta
from deepthrift.errors import ConfigurationError, ServerError, StreamInterrupted
from deepthrift_pricing import Ledger
from deepthrift_router import AsyncRoutedStream, Escalated, ModeRouter, RoutedReply
from tests.router.support import CANBERRA, QUESTION, SYDNEY, routing
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import settings

AGREED = Answer("Canberra.")
REFUSAL = Answer(
    "I'm sorry, I cannot help with that. " + "There is more to say about it, though. " * 30, token_delay=0.002
)
LOOP = Answer("So we try the next one again, and " * 120, token_delay=0.0005)


async def read(stream: Any) -> tuple[list[Any], RoutedReply]:
    async with stream:
        events = [event async for event in stream]
    assert isinstance(events[-1], Finished)
    assert events[-1].reply is stream.reply
    return events, stream.reply


def shown(events: list[Any]) -> str:
    """What a user sees at the end."""
    text = ""
    for event in events:
        if isinstance(event, Escalated):
            assert event.withdrawn == text
            text = ""
        elif isinstance(event, TextDelta):
            text += event.text
    return text


@pytest.mark.parametrize("mode", ["verified", "optimistic"])
@pytest.mark.parametrize(
    ("standard", "path"),
    [([AGREED], "sample"), ([SYDNEY, AGREED], "escalate")],
    ids=["accepted", "escalated"],
)
async def test_what_is_shown_is_the_answer(mode: Any, standard: list[Answer], path: str) -> None:
    async with routing(standard) as (router, server):
        events, reply = await read(router.stream(QUESTION, mode=mode, max_tokens=400))
    assert shown(events) == reply.text == "Canberra."
    assert path in reply.path
    assert reply.cost.amount == server.bill.total
    escalated = [event for event in events if isinstance(event, Escalated)]
    if path == "escalate":
        assert [event.to for event in escalated] == ["thinking"]
        assert escalated[0].withdrawn == ("Sydney." if mode == "optimistic" else "")
        assert any(isinstance(event, ReasoningDelta) for event in events)
    else:
        assert not escalated


async def test_verified_holds_back_until_it_knows() -> None:
    async with routing([SYDNEY, AGREED]) as (router, _):
        events, _ = await read(router.stream(QUESTION, max_tokens=400))
    assert "Sydney." not in "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_thinking_that_ends_in_nothing_brings_the_draft_back() -> None:
    cut = Answer("Canb", finish_reason="length", reasoning="Hm.")
    async with routing([SYDNEY, AGREED], cut) as (router, _):
        events, reply = await read(router.stream(QUESTION, mode="optimistic", max_tokens=400))
    assert shown(events) == reply.text == "Sydney."
    assert [event.to for event in events if isinstance(event, Escalated)] == ["thinking", "standard"]


@pytest.mark.parametrize(("answer", "signal"), [(REFUSAL, "hedging"), (LOOP, "repetition")], ids=["refusal", "loop"])
async def test_an_answer_that_collapses_is_cut_and_escalated(answer: Answer, signal: str) -> None:
    ledger = Ledger.open("memory:")
    async with routing(answer, ledger=ledger) as (router, server):
        events, reply = await read(
            router.stream(QUESTION, mode="optimistic", max_tokens=2000, value_of_right_answer="1")
        )
        await server.wait_quiet()
        generated = server.requests[0].generated
    assert reply.path == ("standard", "escalate")
    assert shown(events) == "Canberra."
    assert generated < len(answer.pieces("standard"))
    assert any(item.signal == signal and item.outcome == "cut" for item in reply.decision.evidence)
    [first, second] = ledger.attempts(group_id=reply.group_id)
    assert first.usage is not None
    assert first.usage.completion_tokens > 0
    assert reply.cost.total == first.cost.total + second.cost.total
    ledger.close()


async def test_a_partial_validator_cuts() -> None:
    def no_sea(text: str) -> bool | str:
        return "sea" not in text or "it speaks of the sea"

    story = Answer("The boats came home over the sea. " * 60, token_delay=0.001)
    async with routing(story, partial_validators=[no_sea]) as (router, _):
        _, reply = await read(router.stream(QUESTION, max_tokens=2000))
    assert reply.path == ("standard", "escalate")
    assert "it speaks of the sea" in reply.decision.reason


async def test_fixed_policies_stream_at_once() -> None:
    for policy in ("standard", "thinking"):
        async with routing(AGREED, policy=policy) as (router, _):
            events, reply = await read(router.stream(QUESTION, max_tokens=400))
        assert shown(events) == reply.text
        assert reply.path == (policy,)


async def test_leaving_early_stops_the_upstream() -> None:
    ledger = Ledger.open("memory:")
    slow = Answer("word " * 500, token_delay=0.05)
    async with routing(slow, ledger=ledger) as (router, server):
        async with router.stream(QUESTION, mode="optimistic", max_tokens=600) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        await server.wait_quiet()
        assert server.requests[0].disconnected
        with pytest.raises(ConfigurationError):
            _ = stream.reply
    [attempt] = ledger.attempts()
    assert attempt.status == "settled"
    assert attempt.cost.amount > 0
    ledger.close()


async def test_an_error_reaches_the_reader() -> None:
    async with routing(Failure(500, "no")) as (router, _):
        with pytest.raises(ServerError) as caught:
            await read(router.stream(QUESTION, max_tokens=400))
    assert len(caught.value.attempt_ids) == 1


async def test_an_error_after_some_text_reaches_the_reader_too() -> None:
    broken = Answer("word " * 40, cut_after=10, token_delay=0.005)
    async with routing(broken) as (router, _):
        stream = router.stream(QUESTION, mode="optimistic", max_tokens=400)
        with pytest.raises(StreamInterrupted) as caught:
            await read(stream)
        assert await stream.batch() == []
    assert len(caught.value.attempt_ids) == 1


async def test_a_stream_closed_by_another_task_just_ends() -> None:
    async with routing(Answer("Canberra.", delay=30.0)) as (router, server):
        stream = router.stream(QUESTION, max_tokens=400)
        reading = asyncio.ensure_future(stream.batch())
        await server.until(lambda seen: len(seen.requests) == 1)
        await stream.aclose()
        assert await reading == []


@pytest.mark.parametrize(
    ("standard", "reached"),
    [([Answer("word " * 500, token_delay=0.05)], 1), ([AGREED, AGREED.but(hold=30.0)], 2)],
    ids=["first answer", "second sample"],
)
async def test_cancelled_while_reading(standard: list[Answer], reached: int) -> None:
    with Ledger.open("memory:") as ledger:
        async with routing(standard, ledger=ledger, policy="cascade") as (router, server):

            async def consume() -> None:
                async with router.stream(QUESTION, max_tokens=600) as stream:
                    async for _ in stream:
                        pass

            task = asyncio.ensure_future(consume())
            # However late this looks: the call that it waits for does not come to its end.
            await server.until(lambda seen: len(seen.requests) == reached and seen.requests[-1].generated > 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.wait_quiet()
            assert len(server.requests) == reached, "nothing is sent after a cancellation"
            assert server.requests[-1].disconnected
        assert not [attempt for attempt in ledger.attempts() if attempt.status == "reserved"]


def test_the_synchronous_door() -> None:
    with (
        BillServer([SYDNEY, Answer("Canberra."), CANBERRA]) as server,
        Client(**settings(server)) as client,
        ModeRouter(client).stream(QUESTION, mode="optimistic", max_tokens=400) as stream,
    ):
        events = list(stream)
    assert shown(events) == stream.reply.text == "Canberra."
    with BillServer(Answer("word " * 300, token_delay=0.05)) as server, Client(**settings(server)) as client:
        with ModeRouter(client).stream(QUESTION, mode="optimistic", max_tokens=400) as stream:
            next(event for event in stream if isinstance(event, TextDelta))
        server.quiet()
        assert server.requests[0].disconnected
    with pytest.raises(ConfigurationError):
        ModeRouter(client).stream(QUESTION, mode="fast")  # type: ignore[call-overload]


async def test_a_reader_whose_stream_is_closed_elsewhere_comes_to_an_end() -> None:
    slow = Answer("word " * 500, token_delay=0.05)
    async with routing(slow) as (router, server):
        stream = router.stream(QUESTION, mode="optimistic", max_tokens=600)
        reading = asyncio.ensure_future(read_on(stream))
        await server.until(lambda seen: bool(seen.requests) and seen.requests[0].generated > 2)
        await stream.aclose()
        assert await reading > 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await server.wait_quiet()


async def read_on(stream: AsyncRoutedStream) -> int:
    count = 0
    while events := await stream.batch():
        count += len(events)
    return count
