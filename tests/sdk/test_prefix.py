"""An answer that is begun for the model: in the form that each host wants, in both modes, through every door."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import InvalidRequestError, UnsupportedFeature
from deepthrift_pricing.tokens import count_messages
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door, settings

ASKED = {"role": "user", "content": "Write a loop."}
OFFICIAL: dict[str, Any] = {"host": "deepseek", "model": None}
SGLANG: dict[str, Any] = {"host": "sglang"}


@every_door
async def test_vllm_is_told_by_two_fields_of_the_body(door: Door) -> None:
    async with BillServer(Answer(" i in range(3):", prompt_tokens=20)) as server:
        reply = await ask(door, server, "Write a loop.", prefix="\nfor")
        body = server.requests[0].body
        assert body["messages"] == [ASKED, {"role": "assistant", "content": "\nfor"}]
        assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
        assert server.requests[0].path == "/v1/chat/completions"
        assert reply.text == " i in range(3):"
        with pytest.raises(UnsupportedFeature, match=r"standard mode can"):
            await ask(door, server, "Write a loop.", prefix="Let", mode="thinking")


@every_door
async def test_llama_cpp_goes_on_by_itself_and_what_it_repeats_is_cut_off(door: Door) -> None:
    """Seen on its server: the plain answer holds the beginning again, the stream does not."""
    said = " i in x" if "stream" in door else "for i in x"
    async with BillServer(Answer([said])) as server:
        reply = await ask(door, server, "Write a loop.", prefix="for", client={"host": "llama.cpp"})
        assert server.requests[0].messages == [ASKED, {"role": "assistant", "content": "for"}]
        assert "continue_final_message" not in server.requests[0].body
    assert reply.text == " i in x"


@every_door
async def test_the_official_api_continues_in_its_beta_path(door: Door) -> None:
    async with BillServer() as server:
        await ask(door, server, "Write a loop.", prefix="for", client=OFFICIAL)
        await ask(door, server, "Write a loop.", prefix="Let me", mode="thinking", client=OFFICIAL)
        await ask(door, server, "Write a loop.", client=OFFICIAL)
        standard, thinking, plain = server.requests
        assert [request.path for request in server.requests] == [
            "/beta/chat/completions",
            "/beta/chat/completions",
            "/v1/chat/completions",
        ]
        assert standard.body["messages"] == [ASKED, {"role": "assistant", "content": "for", "prefix": True}]
        begun = {"role": "assistant", "content": "", "reasoning_content": "Let me", "prefix": True}
        assert thinking.body["messages"] == [ASKED, begun]
        assert "continue_final_message" not in plain.body


async def test_strict_tools_of_the_official_api_are_beta_too() -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {}, "strict": strict}} for strict in (True, 0)
    ]
    async with BillServer() as server:
        for tool in tools:
            await ask("async", server, "Why?", tools=[tool], client=OFFICIAL)
        await ask("async", f"{server.origin}/beta", "Why?", tools=tools, client=OFFICIAL)
        assert [request.path for request in server.requests] == [
            "/beta/chat/completions",
            "/v1/chat/completions",
            "/beta/chat/completions",
        ]


async def test_a_server_of_v31_begins_the_reasoning_with_the_content() -> None:
    async with BillServer() as server:
        await ask("async", server, "Write a loop.", prefix="Let me", mode="thinking", client=SGLANG)
        assert server.requests[0].messages[-1] == {"role": "assistant", "content": "Let me"}
        both = {"role": "assistant", "content": "for", "reasoning_content": "Let me", "prefix": True}
        with pytest.raises(InvalidRequestError, match="not both"):
            await ask("async", server, [ASKED, both], mode="thinking", client=SGLANG)
        with pytest.raises(InvalidRequestError, match="mode='thinking'"):
            await ask("async", server, [ASKED, both], client=SGLANG)


async def test_a_message_of_ones_own_says_the_same_and_an_older_one_no_more() -> None:
    begun = {"role": "assistant", "content": "  for", "prefix": True}
    async with BillServer() as server:
        await ask("async", server, [ASKED, begun])
        assert server.requests[0].messages == [ASKED, {"role": "assistant", "content": "  for"}]
        await ask("async", server, [ASKED, begun, ASKED], client=OFFICIAL)
        assert server.requests[1].messages[1] == {"role": "assistant", "content": "for"}
        assert server.requests[1].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("host", "mode", "more"),
    [("vllm", "standard", 0), ("sglang", "thinking", 0), ("deepseek", "standard", 0), ("deepseek", "thinking", 2)],
)
async def test_what_was_begun_is_counted(host: str, mode: Any, more: int) -> None:
    """Where no template is public, the count is a bound."""
    begun = {"role": "assistant", "content": "for i in", "prefix": True}
    exact = count_messages([ASKED, begun], mode=mode)
    async with BillServer() as server, AsyncClient(**settings(server, host=host, model=None)) as client:
        estimate = client.estimate("Write a loop.", prefix="for i in", mode=mode, max_tokens=10)
        assert exact <= estimate.prompt_tokens <= exact + more
        reply = await client.chat("Write a loop.", prefix="for i in", mode=mode, max_tokens=10)
        assert reply.attempts[0].reserved == estimate.worst


@pytest.mark.parametrize("prefix", ["", 7])
async def test_what_begins_nothing_is_refused(prefix: Any) -> None:
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match="prefix is text"):
            await ask("async", server, "Why?", prefix=prefix)
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        begun = {"role": "assistant", "content": "x", "tool_calls": [call], "prefix": True}
        with pytest.raises(InvalidRequestError, match="tool calls is complete"):
            await ask("async", server, [ASKED, begun])
        with pytest.raises(UnsupportedFeature, match="to be continued"):
            await ask("async", server, "Why?", prefix="Be", client={"host": "openrouter", "model": None})
        assert not server.connections
