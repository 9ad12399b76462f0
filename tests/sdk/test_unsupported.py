"""What a mode cannot do is refused before sending, or runs in standard mode where the call says so; strict tools."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift import AsyncClient, HostProfile
from deepthrift.errors import InvalidRequestError, UnsupportedFeature
from deepthrift.tools import Tool
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door, settings

TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


@every_door
@pytest.mark.parametrize(
    ("host", "asked"),
    [("vllm", {"tools": [TOOL]}), ("deepseek", {"logprobs": True}), ("llama.cpp", {"tools": [TOOL]})],
)
async def test_standard_mode_runs_instead_only_when_asked(door: Door, host: str, asked: dict[str, Any]) -> None:
    client = {"host": host, "model": None, "on_mode_mismatch": "raise"}
    async with BillServer(Answer("Paris.", logprob=-0.1)) as server:
        with pytest.raises(UnsupportedFeature, match="standard mode can"):
            await ask(door, server, mode="thinking", **asked, client=client)
        assert not server.connections
        reply = await ask(
            door, server, mode="thinking", max_tokens=50, on_unsupported="downgrade", **asked, client=client
        )
        [request] = server.requests
    assert request.mode_asked == request.mode_ran == "standard"
    assert (reply.mode, reply.requested_mode, reply.reasoning) == ("standard", "thinking", None)
    [warning] = reply.warnings
    assert warning.startswith("standard mode ran instead of thinking")
    assert reply.attempts[0].mode == "standard"


@every_door
async def test_what_standard_mode_cannot_do_either_is_refused(door: Door) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="logprobs"):
            await ask(
                door, server, mode="thinking", logprobs=True, on_unsupported="downgrade", client={"host": "novita"}
            )
        with pytest.raises(InvalidRequestError, match="on_unsupported"):
            await ask(door, server, on_unsupported="ignore")
        assert not server.connections


async def test_an_estimate_is_of_the_mode_that_will_run() -> None:
    async with AsyncClient(**settings("http://127.0.0.1:9/v1")) as client:
        wanted = client.estimate("Hi", mode="standard", tools=[TOOL])
        assert client.estimate("Hi", mode="thinking", tools=[TOOL], on_unsupported="downgrade") == wanted


def lookup(city: str) -> str:
    """Look it up."""
    return city


@every_door
@pytest.mark.parametrize(("host", "offered"), [("deepseek", True), ("openai", True), ("vllm", False), ("ark", False)])
async def test_strict_tools_where_they_are_offered(door: Door, host: str, offered: bool) -> None:
    tools = [Tool.of(lookup, strict=True).definition]
    async with BillServer(Answer("Paris.")) as server:
        reply = await ask(door, server, tools=tools, max_tokens=50, client={"host": host, "model": None})
        [sent] = server.requests[0].body["tools"]  # type: ignore[union-attr, misc]
    assert sent["function"].get("strict", False) is offered
    assert sent["function"]["parameters"]["required"] == ["city"]
    assert any("strict" in warning for warning in reply.warnings) is not offered
    assert tools[0]["function"]["strict"] is True  # type: ignore[index, call-overload]


def test_only_hosts_that_offer_it_say_so() -> None:
    offering = {name for name in HostProfile.names() if "strict_tools" in HostProfile.named(name).standard.features}
    assert offering == {"deepseek", "deepseek-v4", "openai"}


@every_door
@pytest.mark.parametrize("asked", [{"tools": [TOOL]}, {"tool_choice": "required", "tools": [TOOL]}])
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_tools_refused_on_the_embedded_engine_name_the_model(
    door: Door, asked: dict[str, Any], mode: Any
) -> None:
    """There the model decides what can be done, not the host."""
    host = HostProfile.named("local").model_copy(update={"model": "smollm2-135m"})
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match=r"the model 'smollm2-135m' .* does not call tools") as refused:
            await ask(door, server, mode=mode, **asked, client={"host": host, "model": None})
        assert not server.connections
    assert "deepthrift models choices" in refused.value.message
