"""Earlier turns, as each kind of host wants them (R16–R19, R27, R35)."""

from __future__ import annotations

import json
from typing import Any

from deepthrift import HostProfile
from tests.sdk.regressions.wire import TOOL
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door


async def sent(door: Door, messages: list[Any], host: str | HostProfile = "vllm", **call: Any) -> list[Any]:
    """The messages that reach the endpoint."""
    before = json.dumps(messages)
    async with BillServer(Answer("Madrid.")) as server:
        await ask(door, server, messages, max_tokens=50, client={"host": host}, **call)
    assert json.dumps(messages) == before, "the user's own objects stay as they were"
    found: list[Any] = server.requests[0].messages
    return found


QUESTION: dict[str, Any] = {"role": "user", "content": "And Spain?"}


def after(**answer: Any) -> list[Any]:
    """A conversation whose earlier answer is `answer`."""
    return [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", **answer}, QUESTION]


@every_door
async def test_r16_reasoning_of_earlier_turns_is_stripped(door: Door) -> None:
    for more in ({"reasoning_content": "Hm."}, {"reasoning": "Hm."}, {"reasoning_details": [{"text": "Hm."}]}):
        found = await sent(door, after(content="Paris.", **more))
        assert found[1] == {"role": "assistant", "content": "Paris."}
    found = await sent(door, after(content="<think>Hm.</think>\n\nParis."))
    assert found[1] == {"role": "assistant", "content": "Paris."}


@every_door
async def test_r17_reasoning_is_sent_back_where_the_host_wants_it(door: Door) -> None:
    found = await sent(door, after(content="Paris.", reasoning_content="Hm."), "deepseek-v4")
    assert found[1] == {"role": "assistant", "content": "Paris.", "reasoning_content": "Hm."}


@every_door
async def test_r17_with_tools_every_turn_carries_it(door: Door) -> None:
    """V4 refuses a conversation with tools in which one answer has no such field, an empty one will do."""
    found = await sent(door, after(content="Paris."), "deepseek-v4", tools=[TOOL])
    assert found[1] == {"role": "assistant", "content": "Paris.", "reasoning_content": ""}
    assert "reasoning_content" not in (await sent(door, after(content="Paris."), "deepseek-v4"))[1]
    assert "reasoning_content" not in (await sent(door, after(content="Paris."), "vllm", tools=[TOOL]))[1]


@every_door
async def test_r18_successive_messages_of_one_role_can_be_merged(door: Door) -> None:
    two = [{"role": "user", "content": "Capital"}, {"role": "user", "content": "of France?"}]
    merging = HostProfile.named("vllm").model_copy(update={"merge_roles": True})
    assert await sent(door, two, merging) == [{"role": "user", "content": "Capital\n\nof France?"}]
    assert await sent(door, two) == two


@every_door
async def test_r19_parts_are_joined_into_a_string(door: Door) -> None:
    parts = [{"type": "text", "text": "Capital of"}, {"type": "text", "text": "France?"}]
    assert await sent(door, [{"role": "user", "content": parts}]) == [
        {"role": "user", "content": "Capital of\nFrance?"}
    ]


@every_door
async def test_r27_blank_lines_at_the_head_of_answers_do_not_grow(door: Door) -> None:
    assert (await sent(door, after(content="\n\n\n\nParis.")))[1]["content"] == "Paris."


@every_door
async def test_r35_an_empty_list_of_tool_calls_is_not_sent(door: Door) -> None:
    assert (await sent(door, after(content="Paris.", tool_calls=[])))[1] == {"role": "assistant", "content": "Paris."}
