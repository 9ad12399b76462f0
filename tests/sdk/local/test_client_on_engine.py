"""What the client promises, on a real engine: modes, tools, streams, budgets, cancelling, side by side, routing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from deepthrift import AsyncClient, Client, ReasoningDelta, TextDelta, ToolCallDelta
from deepthrift.errors import BudgetExceeded, ContextLengthExceeded, InvalidRequestError, UnsupportedFeature
from deepthrift.local import Engine
from deepthrift_pricing import Budget, Ledger, Mode
from deepthrift_pricing.tokens import count_messages, count_text
from deepthrift_router import ModeRouter
from tests.sdk.local.doors import ask
from tests.support.conversations import conversations
from tests.support.doors import Door, booked, every_door
from tests.support.tiny_gguf import (
    STANDARD_ANSWER,
    THINKING_ANSWER,
    THOUGHTS,
    TOOL_ANSWER,
    TOOL_ARGUMENTS,
    TOOL_NAME,
    UNSURE_THINKING,
    Script,
)

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine-client")]

Engines = Callable[[Script], Engine]
MODES: tuple[Mode, ...] = ("standard", "thinking")


class Choice(BaseModel):
    pick: Literal["left"]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


TOOL = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "description": "Wetter für eine Stadt",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@every_door
async def test_both_modes_are_answered_counted_and_booked(door: Door, engine: Engine) -> None:
    ledger = Ledger.open("memory:")
    client = {"ledger": ledger, "tags": {"team": "a"}}
    standard, thinking = [await ask(door, engine, "Where?", mode=mode, client=client) for mode in MODES]
    assert (standard.text, standard.reasoning, standard.mode) == (STANDARD_ANSWER, None, "standard")
    assert (thinking.text, thinking.reasoning, thinking.mode) == (THINKING_ANSWER, THOUGHTS, "thinking")
    assert (standard.finish_reason, standard.warnings, thinking.warnings) == ("stop", (), ())
    assert standard.usage.completion_tokens == count_text(STANDARD_ANSWER) + 1, "and the end token"
    assert thinking.usage.reasoning_tokens == count_text(THOUGHTS)
    assert {reply.usage.certainty for reply in (standard, thinking)} == {"exact"}
    assert booked(ledger) == standard.cost.amount + thinking.cost.amount > 0
    assert [attempt.tags for attempt in ledger.attempts()] == [{"team": "a"}] * 2
    ledger.close()


async def test_estimates_and_counts_are_the_engines_own(engine: Engine) -> None:
    """With tools, earlier turns, prefixes and text that looks like a special token; nothing is a guess."""
    tried = 0
    async with AsyncClient.local(engine=engine) as client:
        for made in conversations(40, seed=4, json_arguments=True):
            options: dict[str, Any] = {"mode": made.mode, "max_tokens": 1}
            if made.tools and made.mode == "standard":
                options["tools"] = made.tools
            messages: Any = made.messages
            try:
                estimate = client.estimate(messages, **options)
            except InvalidRequestError:
                continue  # what no client may send
            reply = await client.chat(messages, **options)
            assert (estimate.prompt_tokens, estimate.prompt_certainty) == (reply.usage.prompt_tokens, "exact")
            assert reply.attempts[0].reserved == estimate.worst >= reply.cost.total
            tried += 1
    assert tried >= 10


@every_door
async def test_a_begun_answer_is_gone_on_from(door: Door, engine: Engine) -> None:
    begun = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here is", "prefix": True}]
    reply = await ask(door, engine, begun)
    assert reply.text == " one short scripted answer.", "with the blank between them"
    assert reply.usage.prompt_tokens == count_messages(begun, mode="standard")
    assert reply.usage.cache_hit_tokens + reply.usage.cache_miss_tokens == reply.usage.prompt_tokens
    begun[-1]["content"] = "first note"
    reply = await ask(door, engine, begun, mode="thinking")
    assert THOUGHTS.endswith(reply.reasoning or "-")
    assert (reply.text, reply.mode, reply.warnings) == (THINKING_ANSWER, "thinking", ())


@every_door
async def test_a_budget_of_reasoning_ends_it(door: Door, engine: Engine) -> None:
    reply = await ask(door, engine, "Where?", mode="thinking", reasoning_budget=5)
    assert THOUGHTS.startswith(reply.reasoning or "-")
    assert 0 < reply.usage.reasoning_tokens <= 6
    assert reply.text == THINKING_ANSWER


@pytest.mark.parametrize("door", ["async", "sync stream"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_schema_holds_in_both_modes(door: Door, mode: Mode, engine: Engine) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "yes_or_no", "schema": {"enum": ["yes", "no"]}}}
    reply = await ask(door, engine, "Is it?", mode=mode, response_format=schema, temperature=0, max_tokens=60)
    assert reply.text.strip() in ('"yes"', '"no"')
    assert reply.mode == mode


async def test_objects_are_parsed(engine: Engine) -> None:
    async with AsyncClient.local(engine=engine) as client:
        assert await client.parse("Left or right?", into=Choice, max_tokens=200, temperature=0) == Choice(pick="left")


@every_door
async def test_tokens_have_probabilities(door: Door, engine: Engine) -> None:
    reply = await ask(door, engine, "Where?", top_logprobs=2, temperature=0)
    assert reply.logprobs is not None
    assert "".join(each.token for each in reply.logprobs).startswith(STANDARD_ANSWER)
    assert all(each.probability > 0.9 and len(each.top) == 2 for each in reply.logprobs)


@every_door
async def test_tools_are_called_as_v31_was_trained(door: Door, engines: Engines) -> None:
    reply = await ask(door, engines("tool"), "How is the weather?", tools=[TOOL])
    [call] = reply.tool_calls
    assert (call.name, call.arguments, reply.finish_reason) == (TOOL_NAME, TOOL_ARGUMENTS, "tool_calls")
    assert (reply.text, reply.warnings) == ("", ())
    with pytest.raises(UnsupportedFeature):
        await ask(door, engines("tool"), "How is the weather?", tools=[TOOL], mode="thinking")


async def test_a_loop_of_tools_comes_to_its_answer(engines: Engines) -> None:
    async with AsyncClient.local(engine=engines("tool")) as client:
        reply = await client.run_tools("How is the weather?", tools=[get_weather])
    assert reply.text == TOOL_ANSWER
    assert len(reply.attempts) == 2

    def in_sync() -> str:
        with Client.local(engine=engines("tool")) as client:
            return client.run_tools("How is the weather?", tools=[get_weather]).text

    assert await asyncio.to_thread(in_sync) == TOOL_ANSWER


async def test_streams_tell_thoughts_text_and_calls_apart(engine: Engine, engines: Engines) -> None:
    async with AsyncClient.local(engine=engine) as client, client.stream("Where?", mode="thinking") as stream:
        events = [event async for event in stream]
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == THOUGHTS
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == THINKING_ANSWER
    async with AsyncClient.local(engine=engines("tool")) as client, client.stream("W?", tools=[TOOL]) as stream:
        events = [event async for event in stream]
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == TOOL_ARGUMENTS


@every_door
async def test_a_budget_refuses_what_does_not_fit_before_it_is_sent(door: Door, engine: Engine) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.000001", per="day")])
    with pytest.raises(BudgetExceeded):
        await ask(door, engine, "Where?", client={"ledger": ledger})
    assert not ledger.attempts()
    ledger.close()


@every_door
async def test_what_is_longer_than_the_context_is_refused(door: Door, engine: Engine) -> None:
    with pytest.raises(ContextLengthExceeded, match="2,048"):
        await ask(door, engine, " word" * 2100)


@pytest.mark.parametrize("streamed", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_cancelled_call_frees_its_slot_and_is_booked(streamed: bool, engines: Engines) -> None:
    engine, ledger = engines("random"), Ledger.open("memory:")

    async def going_on(client: AsyncClient) -> None:
        if streamed:
            async with client.stream("Go on.", max_tokens=1900) as stream:
                async for _ in stream:
                    pass
        else:
            await client.chat("Go on.", max_tokens=1900)

    async with AsyncClient.local(engine=engine, ledger=ledger) as client:
        task = asyncio.create_task(going_on(client))
        while (await engine.health()).busy == 0:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while (await engine.health()).busy:
            await asyncio.sleep(0.05)
        [attempt] = ledger.attempts()
        assert attempt.status == ("settled" if streamed else "unknown")
        assert 0 < attempt.cost.total.amount <= attempt.reserved.amount
        assert (await client.chat("Hi", max_tokens=5)).usage.completion_tokens == 5
    ledger.close()


async def test_many_calls_at_once_all_come_back(engine: Engine) -> None:
    async with AsyncClient.local(engine=engine) as client:
        replies = await asyncio.gather(*(client.chat(f"Where is {n}?", mode=MODES[n % 2]) for n in range(12)))
    assert [reply.text for reply in replies] == [STANDARD_ANSWER, THINKING_ANSWER] * 6


async def test_every_slot_has_the_context_that_was_asked_for(engine: Engine) -> None:
    """A context that the slots shared would refuse the second of two calls that almost fill it."""
    async with AsyncClient.local(engine=engine) as client:
        replies = await asyncio.gather(*(client.chat(word * 1900, max_tokens=100) for word in (" one", " two")))
    assert all(reply.usage.prompt_tokens > 1900 and reply.text == STANDARD_ANSWER for reply in replies)


async def test_each_conversation_finds_its_prompt_in_the_cache(engine: Engine) -> None:
    """Two conversations in turns on two slots: what each of them said before is not computed again."""
    talks = [[{"role": "user", "content": f"{topic} " * 40}] for topic in ("Norway", "Peru")]
    cached: list[list[int]] = [[], []]
    async with AsyncClient.local(engine=engine) as client:
        for _ in range(4):
            for talk, held in zip(talks, cached, strict=True):
                messages: Any = talk
                reply = await client.chat(messages)
                held.append(reply.usage.cache_hit_tokens)
                talk += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": "And then? " * 20}]
    for held in cached:
        assert held[1] > 40
        assert held == sorted(held)
        assert held[3] > held[2] > held[1]


async def test_the_router_thinks_where_standard_answers_differ(engines: Engines) -> None:
    async with AsyncClient.local(engine=engines("unsure")) as client:
        router = ModeRouter(client)
        seed = 0
        while (reply := await router.chat("How much is 40 + 2?", temperature=1, seed=seed)).mode == "standard":
            seed += 10  # two samples may agree by chance
    assert reply.text == UNSURE_THINKING
    assert [attempt.purpose for attempt in reply.attempts][-1] == "escalate"


async def test_texts_become_vectors(engine: Engine) -> None:
    texts = [f"text number {number}" for number in range(257)]
    ledger = Ledger.open("memory:")
    async with AsyncClient.local(engine=engine, ledger=ledger) as client:
        many = await client.embed(texts, tags={"kind": "index"})
        one = await client.embed(texts[7])
        with pytest.raises(ContextLengthExceeded, match="too large"):
            await client.embed(" word" * 2100)
    assert len(many.vectors) == 257
    assert {len(vector) for vector in many.vectors} == {64}
    assert sum(a * b for a, b in zip(many.vectors[7], one.vectors[0], strict=True)) == pytest.approx(1, abs=1e-3)
    assert many.usage.prompt_tokens >= sum(map(count_text, texts))
    assert (many.usage.completion_tokens, len(many.attempts)) == (0, 2)
    rows = ledger.attempts()
    assert sum(row.cost.amount for row in rows) == many.cost.amount + one.cost.amount > 0
    assert [row.tags for row in rows].count({"kind": "index"}) == 2
    ledger.close()
