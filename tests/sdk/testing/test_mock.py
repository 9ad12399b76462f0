"""The scripted endpoint: V3.1's wire shapes for both modes, streams, tools, errors, delays; strict about the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, ReasoningDelta, TextDelta
from deepthrift.errors import ConnectionFailed, NotFound, RateLimited, StreamInterrupted
from deepthrift.testing import MockDisconnect, MockError, MockReply, MockTransport, SentRequest, UnmatchedRequest
from deepthrift_pricing import Ledger
from deepthrift_pricing.tokens import count_messages, count_text
from tests.support.doors import Door, ask, booked, every_door, every_stream, prices
from tests.support.waiting import until

URL = "http://test.invalid/v1"


def on(transport: MockTransport, **more: Any) -> dict[str, Any]:
    return {"transport": transport, **more}


@every_door
@pytest.mark.parametrize("host", ["vllm", "deepseek", "deepseek-v4", "openrouter", "ollama", "siliconflow"])
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_it_runs_the_mode_that_was_asked_for_in_every_form(door: Door, host: str, mode: Any) -> None:
    transport = MockTransport(MockReply("The answer is 42.", reasoning="Let me think."))
    reply = await ask(door, URL, "Why?", mode=mode, client=on(transport, host=host, model=None))
    assert (reply.text, reply.mode, reply.finish_reason) == ("The answer is 42.", mode, "stop")
    assert reply.reasoning == ("Let me think." if mode == "thinking" else None)
    assert not reply.warnings
    assert (transport.last.mode, transport.last.stream, transport.last.question) == (mode, "stream" in door, "Why?")


@every_door
async def test_tokens_are_counted_as_v31_does_and_booked(door: Door) -> None:
    ledger = Ledger.open("memory:")
    transport = MockTransport(MockReply("The answer is 42.", reasoning="Let me think.", cache_hit_tokens=3))
    reply = await ask(door, URL, "Why?", mode="thinking", client=on(transport, ledger=ledger))
    assert reply.usage.prompt_tokens == count_messages("Why?", mode="thinking")
    assert reply.usage.cache_hit_tokens == 3
    assert reply.usage.completion_tokens == count_text("Let me think.") + count_text("The answer is 42.")
    assert reply.usage.reasoning_tokens == count_text("Let me think.")
    assert booked(ledger) == reply.cost.amount > Decimal(0)
    assert reply.cost.certainty == "exact"


@every_door
async def test_max_tokens_cuts_tokens_can_be_given_and_usage_left_out(door: Door) -> None:
    script = [
        MockReply("one two three"),
        MockReply("one", prompt_tokens=100, completion_tokens=50),
        MockReply("one", reports_usage=False),
    ]
    transport = MockTransport(script)
    cut, given, silent = [await ask(door, URL, "Why?", max_tokens=2, client=on(transport)) for _ in script]
    assert (cut.text, cut.finish_reason, cut.usage.completion_tokens) == ("one two", "length", 2)
    assert (given.usage.prompt_tokens, given.usage.completion_tokens) == (100, 50)
    assert silent.usage.certainty == "estimated"
    transport.assert_all_used()


@every_door
async def test_tools_are_called(door: Door) -> None:
    transport = MockTransport(MockReply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", '{"a": 3')]))
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    reply = await ask(door, URL, "Why?", tools=[tool], client=on(transport))
    assert reply.finish_reason == "tool_calls"
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("add", '{"a": 1, "b": 2}'),
        ("add", '{"a": 3'),
    ]


@dataclass
class Sum:
    a: int


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def test_it_carries_a_loop_of_tools_and_an_object() -> None:
    script = [MockReply(tool_calls=[("add", {"a": 1, "b": 2})]), MockReply("3"), MockReply('{"a": 3}')]
    transport = MockTransport(script)
    async with AsyncClient(URL, host="vllm", prices=prices(), transport=transport) as client:
        assert (await client.run_tools("1 + 2?", tools=[add])).text == "3"
        assert transport.last.messages[-1] == {"role": "tool", "tool_call_id": "call_00", "content": "3"}
        assert await client.parse("Three?", into=Sum) == Sum(a=3)
    transport.assert_all_used()


@every_door
async def test_errors_come_as_from_a_real_endpoint_and_are_tried_again(door: Door) -> None:
    script = [MockError(429, "slow down", retry_after=0.01), MockError(503, retry_after=0.01), MockReply("Yes.")]
    transport = MockTransport(script)
    reply = await ask(door, URL, "Why?", client=on(transport))
    assert [attempt.status for attempt in reply.attempts] == ["released", "released", "settled"]
    with pytest.raises(RateLimited, match="slow down") as limited:
        await ask(
            door, URL, "Why?", client=on(MockTransport(MockError(429, "slow down", retry_after=7)), max_retries=0)
        )
    assert (limited.value.retry_after, limited.value.trace_id) == (7, "mock")
    with pytest.raises(ConnectionFailed, match="scripted disconnect"):
        await ask(door, URL, "Why?", client=on(MockTransport(MockDisconnect())))


@every_stream
async def test_a_stream_comes_in_pieces_and_can_be_cut(door: Door) -> None:
    with pytest.raises(StreamInterrupted) as broken:
        await ask(door, URL, "Why?", client=on(MockTransport(MockReply("one two three", cut_after=3))))
    assert broken.value.partial is not None
    assert broken.value.partial.text == "one two"


async def test_the_pieces_of_a_stream() -> None:
    transport = MockTransport(MockReply("one two", reasoning="Hm, well", chunk_delay=0.001, logprob=-0.5))
    async with (
        AsyncClient(URL, host="deepseek-v4", model="deepseek-v4-flash", prices=prices(), transport=transport) as client,
        client.stream("Why?", mode="thinking", logprobs=True) as stream,
    ):
        said = [(type(event), event.text) async for event in stream if isinstance(event, ReasoningDelta | TextDelta)]
    assert said == [(ReasoningDelta, "Hm,"), (ReasoningDelta, " well"), (TextDelta, "one"), (TextDelta, " two")]
    assert [token.token for token in stream.reply.logprobs or ()] == ["one", " two"]
    assert [token.token for token in stream.reply.reasoning_logprobs or ()] == ["Hm,", " well"]


async def test_completions_samples_models_and_balance() -> None:
    held = {"is_available": True, "balance_infos": [{"currency": "USD", "total_balance": "1.5"}]}
    script = [MockReply("return a", logprob=-1.0), MockReply("one"), MockReply("two")]
    transport = MockTransport(script, models=["m"], balance=held)
    async with AsyncClient(URL, host="vllm", prices=prices(), transport=transport) as client:
        completed = await client.complete("def f(a): ", suffix="\n", logprobs=True)
        assert completed.text == "return a"
        assert [token.token for token in completed.logprobs or ()] == ["return", " a"]
        samples = await client.samples("Why?", n=2)
        assert samples.texts == ("one", "two")
        assert samples.usage.completion_tokens == 2
        assert [model.id for model in await client.models()] == ["m"]
    async with AsyncClient(URL, host="deepseek", prices=prices(), transport=transport) as client:
        assert (await client.balance()).amounts[0].total == Decimal("1.5")
    without = MockTransport(MockReply("x"))
    async with AsyncClient(URL, host="deepseek", prices=prices(), transport=without) as client:
        with pytest.raises(NotFound):
            await client.balance()


@every_door
async def test_a_function_of_the_request_may_decide(door: Door) -> None:
    def script(sent: SentRequest) -> MockReply:
        return MockReply(f"You asked: {sent.question}")

    assert (await ask(door, URL, "Why?", client=on(MockTransport(script)))).text == "You asked: Why?"


@every_door
async def test_what_was_not_expected_fails_the_test(door: Door) -> None:
    transport = MockTransport([MockReply("x", expect={"temperature": 0})])
    with pytest.raises(UnmatchedRequest, match=r"'temperature' of the request is 1, and 0 was expected"):
        await ask(door, URL, "Why?", temperature=1, client=on(transport))
    with pytest.raises(AssertionError, match="a further request came: POST /v1/chat/completions"):
        await ask(door, URL, "Why?", client=on(transport, api_key="sk-secret-0123456789"))
    leftover = MockTransport([MockReply("x"), MockReply("y")])
    await ask(door, URL, "Why?", client=on(leftover))
    with pytest.raises(UnmatchedRequest, match="1 of 2 replies"):
        leftover.assert_all_used()
    with pytest.raises(UnmatchedRequest, match="nothing was sent"):
        _ = MockTransport(MockReply("x")).last
    assert "secret" not in f"{transport.last}{transport.last!r}"


async def test_delays_can_be_cancelled() -> None:
    transport = MockTransport(MockReply("x", delay=600.0))
    async with AsyncClient(URL, host="vllm", prices=prices(), transport=transport) as client:
        task = asyncio.create_task(client.chat("Why?"))
        await until(lambda: transport.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_threads_may_share_it() -> None:
    with Client(URL, host="vllm", prices=prices(), transport=MockTransport(MockReply("x"))) as client:
        assert client.chat("Why?").text == "x"
        with client.stream("Why?") as stream:
            assert [event.text for event in stream if isinstance(event, TextDelta)] == ["x"]
