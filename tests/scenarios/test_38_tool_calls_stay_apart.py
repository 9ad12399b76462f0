"""38. Two complete tool calls stay two, whatever their ids and indexes; ids differ within a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient, Conversation, ToolCallDelta
from tests.support.bill_server import BillServer, RawBody, Received
from tests.support.doors import DOORS, Door, ask, events_of, settings

TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
ROME, OSLO = '{"city":"Rome"}', '{"city":"Oslo"}'
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
BAD_IDS: list[list[dict[str, Any]]] = [
    [{}, {}],
    [{"id": ""}, {"id": ""}],
    [{"id": "call_1"}, {"id": "call_1"}],
    [{"id": "a", "index": 0}, {"id": "b", "index": 0}],
    [{"id": "a", "index": 1}, {"id": "a", "index": 2}],
    [{"index": 0}, {"index": 0}],
]


def body(calls: list[dict[str, Any]], *, stream: bool, text: str | None = None) -> bytes:
    """An answer that makes `calls`, streamed with one delta for each, or plain."""
    head = {"id": "r", "model": "m"}
    if not stream:
        message = {"role": "assistant", "content": text, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        return json.dumps({**head, "choices": [choice], "usage": USAGE}).encode()
    deltas: list[dict[str, Any]] = [{"tool_calls": [call]} for call in calls] or [{"content": text}]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
    chunks.append({"choices": [], "usage": USAGE})
    return (
        b"".join(b"data: " + json.dumps({**head, **chunk}).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )


def two(ids: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "function", **given, "function": {"name": "weather", "arguments": arguments}}
        for given, arguments in zip(ids, (ROME, OSLO), strict=True)
    ]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("ids", BAD_IDS)
async def test_two_calls_stay_two_with_ids_of_their_own(door: Door, ids: list[dict[str, Any]]) -> None:
    async with BillServer(RawBody(body(two(ids), stream="stream" in door))) as server:
        reply = await ask(door, server, "Weather?", max_tokens=50, tools=[TOOL])
        assert [(call.name, call.arguments) for call in reply.tool_calls] == [("weather", ROME), ("weather", OSLO)]
        assert len({call.id for call in reply.tool_calls}) == 2
        if "stream" in door:
            deltas = await events_of(door, server, "Weather?", max_tokens=50, tools=[TOOL])
            told = [event for event in deltas if isinstance(event, ToolCallDelta)]
            assert [(event.index, event.id, event.arguments) for event in told] == [
                (place, call.id, call.arguments) for place, call in enumerate(reply.tool_calls)
            ]


def refuses_ids_used_twice(first: list[dict[str, Any]], text: str | None = None, rounds: int = 3) -> Any:
    """A host that answers `rounds` times with the same calls, and refuses an id that comes twice."""

    def answer(request: Received) -> RawBody:
        ids = [call["id"] for message in request.messages for call in message.get("tool_calls") or ()]
        if len(ids) != len(set(ids)):
            return RawBody(b'{"error": {"message": "a tool_call_id is used twice"}}', status=400)
        known = {message["tool_call_id"] for message in request.messages if message["role"] == "tool"}
        if known != set(ids):
            return RawBody(b'{"error": {"message": "a result answers no call"}}', status=400)
        if sum(message["role"] == "assistant" for message in request.messages) < rounds:
            return RawBody(body(first, stream=request.stream, text=text))
        return RawBody(body([], stream=request.stream, text="Done."))

    return answer


V31 = f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{ROME}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("calls", "text"),
    [(two([{}, {}]), None), (two([{"id": "call_0"}, {"id": "call_1"}]), None), ([], V31)],
    ids=["no ids", "the same ids in every round", "from text"],
)
@pytest.mark.parametrize("by_hand", [False, True])
async def test_ids_differ_between_the_rounds_of_a_loop_of_your_own(
    streamed: bool, calls: list[dict[str, Any]], text: str | None, by_hand: bool
) -> None:
    async with BillServer(refuses_ids_used_twice(calls, text)) as server, AsyncClient(**settings(server)) as client:
        talk = Conversation().user("Weather?")
        messages: list[Any] = [{"role": "user", "content": "Weather?"}]
        for _ in range(4):
            asked: Any = messages if by_hand else talk
            if streamed:
                async with client.stream(asked, tools=[TOOL], max_tokens=50) as stream:
                    async for _event in stream:
                        pass
                reply = stream.reply
            else:
                reply = await client.chat(asked, tools=[TOOL], max_tokens=50)
            talk.add(reply)
            messages.append(reply.message)
            for call in reply.tool_calls:
                talk.tool_result(call.id, "sunny")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        assert reply.text == "Done."


async def test_a_conversation_that_was_kept_with_ids_used_twice_can_go_on() -> None:
    call = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": ROME}}
    round_: list[Any] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": "sunny"},
    ]
    messages = [{"role": "user", "content": "Weather?"}, *round_, *round_]
    async with BillServer(refuses_ids_used_twice([], "", rounds=2)) as server:
        reply = await ask("async", server, messages, max_tokens=50, tools=[TOOL])
        assert reply.text == "Done."
        assert messages[3] == round_[0], "the caller's own messages stay as they are"


async def test_run_tools_runs_both() -> None:
    ran: list[str] = []

    def weather(city: str) -> str:
        """The weather."""
        ran.append(city)
        return "sunny"

    async with (
        BillServer(refuses_ids_used_twice(two([{"id": "x"}, {"id": "x"}]), rounds=2)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await client.run_tools("Weather?", tools=[weather], max_tokens=50, parallel=False)
    assert (reply.text, ran) == ("Done.", ["Rome", "Oslo"] * 2)
    assert len({result.call.id for result in reply.results}) == 4
