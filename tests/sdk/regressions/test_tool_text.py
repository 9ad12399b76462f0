"""Tool calls that a server left where they do not belong (R12, R13)."""

from __future__ import annotations

import pytest

from deepthrift.errors import ToolCallsMissing
from tests.sdk.regressions.wire import TOOL, V31_CALL, reply_to
from tests.support.doors import Door, every_door


@every_door
async def test_r12_tool_tokens_inside_the_reasoning_are_read(door: Door) -> None:
    reply = await reply_to(door, {"content": None, "reasoning_content": f"I look. {V31_CALL}"}, tools=[TOOL])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("lookup", '{"city": "Paris"}')]
    assert reply.finish_reason == "tool_calls"
    assert reply.warnings


@every_door
async def test_r13_tool_calls_left_as_text_are_read(door: Door) -> None:
    reply = await reply_to(door, {"content": f"I look. {V31_CALL}", "tool_calls": []}, "tool_calls", tools=[TOOL])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("lookup", '{"city": "Paris"}')]
    assert reply.text == "I look."


@every_door
async def test_r13_a_promised_call_that_is_not_there_is_an_error_with_what_was_said(door: Door) -> None:
    with pytest.raises(ToolCallsMissing, match="tool parser") as caught:
        await reply_to(door, {"content": "I look.", "tool_calls": []}, "tool_calls", tools=[TOOL])
    partial = caught.value.partial
    assert partial is not None
    assert (partial.text, partial.tool_calls) == ("I look.", ())
    assert any("no call" in warning for warning in partial.warnings)
    assert caught.value.spend == partial.cost.total
    assert [attempt.status for attempt in partial.attempts] == ["settled"]
