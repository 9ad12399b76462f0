"""40, of tools. A tool call that `max_tokens` cut never passes as a whole one, and is not paid for again and again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import ToolCallCut
from deepthrift_pricing import Ledger
from deepthrift_router.compat import AsyncOpenAI, routing_of
from tests.scenarios.test_38_tool_calls_stay_apart import TOOL, USAGE
from tests.support.bill_server import BillServer, RawBody
from tests.support.doors import DOORS, Door, ask, booked, prices, settings

HALF = '{"city": "Ro'
V31 = f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{HALF}"
DSML = '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="weather">\n<｜DSML｜parameter name="city" string="true">Ro'
FULL = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60}


def call(arguments: str = HALF) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "weather", "arguments": arguments}}]}


CUTS: list[tuple[dict[str, Any], str, dict[str, int]]] = [
    (call(), "length", USAGE),
    (call(""), "length", USAGE),
    (call(), "max_tokens", USAGE),
    (call(), "tool_calls", FULL),
    ({"content": V31}, "length", USAGE),
    ({"content": DSML}, "length", USAGE),
    ({"reasoning_content": V31}, "length", USAGE),
]


def body(message: dict[str, Any], finish: str, usage: dict[str, int], *, stream: bool) -> bytes:
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
        return json.dumps({"id": "r", "model": "m", "choices": [choice], "usage": usage}).encode()
    chunks: list[Any] = [
        {"choices": [{"index": 0, "delta": message}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": usage},
    ]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("message", "finish", "usage"), CUTS)
async def test_a_cut_call_is_marked_and_warned_of(
    door: Door, message: dict[str, Any], finish: str, usage: dict[str, int]
) -> None:
    async with BillServer(RawBody(body(message, finish, usage, stream="stream" in door))) as server:
        reply = await ask(door, server, "Weather?", max_tokens=50, tools=[TOOL])
    assert reply.finish_reason == "length"
    [cut] = reply.tool_calls
    assert (cut.name, cut.cut) == ("weather", True)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(cut.arguments)
    assert any("max_tokens" in warning for warning in reply.warnings)
    assert "｜" not in reply.text + (reply.reasoning or "")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("message", "finish", "usage"), CUTS)
async def test_run_tools_stops_at_a_cut_call(
    streamed: bool, message: dict[str, Any], finish: str, usage: dict[str, int]
) -> None:
    ran: list[str] = []

    def weather(city: str = "here") -> str:
        """The weather."""
        ran.append(city)
        return "sunny"

    ledger = Ledger.open("memory:")
    async with (
        BillServer(RawBody(body(message, finish, usage, stream=streamed))) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        tell = (lambda _: None) if streamed else None
        with pytest.raises(ToolCallCut, match="max_tokens=50") as caught:
            await client.run_tools("Weather?", tools=[weather], max_tokens=50, on_event=tell)
        assert len(server.requests) == 1
    partial = caught.value.partial
    assert partial is not None
    assert [each.name for each in partial.tool_calls] == ["weather"]
    assert caught.value.spend is not None
    assert caught.value.spend.amount == partial.cost.amount == booked(ledger) > 0
    assert partial.messages == ({"role": "user", "content": "Weather?"},), "half a call is no part of what goes on"
    assert not ran
    ledger.close()


async def test_whole_calls_before_the_limit_still_run() -> None:
    """A limit that was reached between two calls cuts none of them."""
    ran: list[str] = []

    def weather(city: str) -> str:
        """The weather."""
        ran.append(city)
        return "sunny"

    def answer(request: Any) -> RawBody:
        if request.messages[-1]["role"] == "tool":
            return RawBody(body({"content": "Done."}, "stop", USAGE, stream=False))
        return RawBody(body(call('{"city": "Rome"}'), "length", USAGE, stream=False))

    async with BillServer(answer) as server, AsyncClient(**settings(server)) as client:
        reply = await client.run_tools("Weather?", tools=[weather], max_tokens=50)
    assert (reply.text, ran) == ("Done.", ["Rome"])
    assert any("further calls may be missing" in warning for warning in reply.warnings)


@pytest.mark.parametrize("streamed", [False, True])
async def test_openais_client_is_told_and_no_further_round_is_paid(streamed: bool) -> None:
    def answer(request: Any) -> RawBody:
        return RawBody(body(call(), "tool_calls", FULL, stream=request.stream))

    async with (
        BillServer(answer) as server,
        AsyncOpenAI(base_url=server.url, api_key="key", host="vllm", prices=prices()) as client,
    ):
        sent: Any = {
            "model": "auto", "messages": [{"role": "user", "content": "Weather?"}], "tools": [TOOL], "max_tokens": 50
        }  # fmt: skip
        if streamed:
            reasons, warnings = [], ()
            async for chunk in await client.chat.completions.create(**sent, stream=True):
                reasons += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
                routing = routing_of(chunk)
                warnings = warnings if routing is None else routing.warnings
        else:
            completion = await client.chat.completions.create(**sent)
            reasons, routing = [completion.choices[0].finish_reason], routing_of(completion)
            warnings = () if routing is None else routing.warnings
        assert len(server.requests) == 1
    assert reasons == ["length"]
    assert any("max_tokens" in warning for warning in warnings)
