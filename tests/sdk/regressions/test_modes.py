"""The switch, and what a mode can do (R9, R10, R14, R15, R21, R26, R28, R36)."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift import HostProfile
from deepthrift.errors import InvalidRequestError, UnsupportedFeature
from tests.sdk.regressions.wire import TOOL
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door


@every_door
async def test_r09_a_switch_that_is_ignored_is_told(door: Door) -> None:
    async with BillServer(Answer("Paris."), dialect="thinking-type") as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert (reply.mode, reply.requested_mode) == ("standard", "thinking")
    assert any("no reasoning came back" in warning for warning in reply.warnings)


def switched(name: str) -> bool:
    """Whether a host has an off form; the others have no documented switch, or one that only adds to what is sent."""
    off = HostProfile.named(name).switch("standard")
    return bool(off.body or off.headers or off.model)


@pytest.mark.parametrize("host", [name for name in HostProfile.names() if switched(name)])
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_r10_the_switch_is_always_sent_off_too(host: str, mode: Any) -> None:
    other = "thinking" if mode == "standard" else "standard"
    model = {"model": None} if host == "deepseek" else {}
    async with BillServer(Answer("Paris."), default_mode=other) as server:  # type: ignore[arg-type]
        reply = await ask("async", server, mode=mode, max_tokens=50, client={"host": host, **model})
    assert server.requests[0].mode_asked == mode
    assert reply.mode == mode


@every_door
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_r10_through_every_door(door: Door, mode: Any) -> None:
    """llama.cpp's default is on, vLLM's is off."""
    for host, default in (("llama.cpp", "thinking"), ("vllm", "standard")):
        async with BillServer(Answer("Paris."), default_mode=default) as server:  # type: ignore[arg-type]
            reply = await ask(door, server, mode=mode, max_tokens=50, client={"host": host})
        assert (server.requests[0].mode_asked, reply.mode) == (mode, mode)


@every_door
@pytest.mark.parametrize("host", ["deepseek", "vllm", "llama.cpp", "openai"])
async def test_r14_tools_in_thinking_mode_are_refused_before_sending(door: Door, host: str) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="standard mode can"):
            await ask(door, server, mode="thinking", tools=[TOOL], client={"host": host, "model": None})
        assert not server.connections


@every_door
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "lookup"}}])
async def test_r15_a_forced_tool_is_refused_where_it_cannot_be(door: Door, choice: Any) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="tool"):
            await ask(door, server, tools=[TOOL], tool_choice=choice, client={"host": "llama.cpp"})
        with pytest.raises(UnsupportedFeature, match="tool"):
            await ask(door, server, mode="thinking", tools=[TOOL], tool_choice=choice)
        assert not server.connections


@every_door
async def test_r21_what_a_mode_cannot_do_is_data(door: Door) -> None:
    profile = HostProfile.parse('name = "old"\n[thinking]\nfeatures = []\n[standard]\nfeatures = ["json_object"]')
    async with BillServer(Answer("{}")) as server:
        with pytest.raises(UnsupportedFeature, match="json_object"):
            await ask(door, server, mode="thinking", response_format={"type": "json_object"}, client={"host": profile})
        assert not server.connections
        await ask(door, server, max_tokens=5, response_format={"type": "json_object"}, client={"host": profile})


@every_door
async def test_r26_max_tokens_above_the_hosts_limit_is_told_or_clamped(door: Door) -> None:
    deepseek = HostProfile.named("deepseek")
    client = {"host": deepseek, "model": None}
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match="8,192"):
            await ask(door, server, "Hi", max_tokens=9000, client=client)
        assert not server.connections
        clamping = {**client, "host": deepseek.model_copy(update={"over_limit": "clamp"})}
        reply = await ask(door, server, "Hi", max_tokens=9000, client=clamping)
        assert server.requests[0].max_tokens == 8192
    assert any("8,192" in warning for warning in reply.warnings)


@every_door
async def test_r28_bedrock_never_gets_tools_and_the_switch_together(door: Door) -> None:
    client = {"host": "bedrock", "model": None}
    async with BillServer(Answer("Paris."), dialect="effort") as server:
        with pytest.raises(UnsupportedFeature, match="standard mode can"):
            await ask(door, server, "Hi", mode="thinking", tools=[TOOL], client=client)
        assert not server.connections
        await ask(door, server, "Hi", tools=[TOOL], max_tokens=50, client=client)
        await ask(door, server, "Hi", mode="thinking", max_tokens=50, client=client)
    with_tools, thinking = (request.body for request in server.requests)
    assert "tools" in with_tools
    assert "reasoning_effort" not in with_tools
    assert "tools" not in thinking
    assert thinking["reasoning_effort"] == "high"


@every_door
async def test_r36_extra_fields_pass_through_and_win(door: Door) -> None:
    extra = {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"more": 1}, "user_id": "u"}
    async with BillServer(Answer("Paris.")) as server:
        await ask(door, server, max_tokens=50, extra_body=extra, client={"extra_body": {"user_id": "v", "x": 1}})
    body = server.requests[0].body
    assert body["thinking"] == {"type": "enabled"}
    assert body["chat_template_kwargs"] == {"thinking": False, "more": 1}
    assert (body["user_id"], body["x"]) == ("u", 1)
