"""The judge is judged: the bill server bills what it generates, no more and no less."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support.bill_server import Answer, BillServer, Drop, Failure, RawBody, Received
from tests.support.dialect import mode_asked

CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
THINKING = {**CHAT, "chat_template_kwargs": {"thinking": True}}
ANSWER = Answer("four five", reasoning="six seven eight", cache_hit=2, prompt_tokens=10)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def _events(text: str) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


async def test_a_plain_answer_is_billed_once(http: httpx.AsyncClient) -> None:
    async with BillServer(ANSWER) as server:
        body = (await http.post(f"{server.url}/chat/completions", json=THINKING)).json()
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "four five",
        "reasoning_content": "six seven eight",
    }
    assert body["usage"]["completion_tokens"] == 5
    [line] = server.bill.lines
    assert (line.mode, line.prompt_tokens, line.completion_tokens, line.reasoning_tokens) == ("thinking", 10, 5, 3)
    assert server.bill.total == Decimal("0.00001302")  # 2 x 0.07 + 8 x 0.56 + 5 x 1.68 millionths


@pytest.mark.parametrize("usage", ["own-chunk", "last-chunk", "every-chunk", "absent"])
async def test_a_stream_puts_the_usage_where_it_is_told(http: httpx.AsyncClient, usage: str) -> None:
    async with BillServer(ANSWER.but(usage=usage)) as server:
        text = (await http.post(f"{server.url}/chat/completions", json={**THINKING, "stream": True})).text
    events = _events(text)
    told = [event for event in events if event.get("usage")]
    content = [event for event in events if event["choices"] and "content" in event["choices"][0]["delta"]]
    assert "".join(event["choices"][0]["delta"]["content"] for event in content) == "four five"
    match usage:
        case "own-chunk":
            assert [event["choices"] for event in told] == [[]]
        case "last-chunk":
            assert told == [events[-1]]
            assert events[-1]["choices"][0]["finish_reason"] == "stop"
        case "every-chunk":
            assert [event["usage"]["completion_tokens"] for event in told] == [1, 2, 3, 4, 5, 5, 5]
        case _:
            assert not told
    assert server.bill.total == Decimal("0.00001302")


async def test_a_client_that_leaves_pays_for_what_was_generated(http: httpx.AsyncClient) -> None:
    async with BillServer(Answer("la " * 50, stall_after=7)) as server:
        async with http.stream("POST", f"{server.url}/chat/completions", json={**CHAT, "stream": True}) as response:
            seen = 0
            async for line in response.aiter_lines():
                seen += '"content": "' in line and '"role"' not in line
                if seen == 7:
                    break
        await server.wait_quiet(connections=0)
    [request] = server.requests
    assert request.disconnected
    assert request.line is not None
    assert (request.line.completion_tokens, request.line.complete) == (7, False)


async def test_max_tokens_ends_an_answer(http: httpx.AsyncClient) -> None:
    async with BillServer(ANSWER) as server:
        body = (await http.post(f"{server.url}/chat/completions", json={**CHAT, "max_tokens": 1})).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert server.bill.lines[0].completion_tokens == 1


async def test_failures_and_drops_bill_only_what_they_are_told(http: httpx.AsyncClient) -> None:
    script = [Failure(429, retry_after="3"), RawBody(b"", billed=ANSWER), Drop(), Drop(billed=ANSWER), ANSWER]
    async with BillServer(script) as server:
        url = f"{server.url}/chat/completions"
        refused = await http.post(url, json=CHAT)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
        assert (await http.post(url, json=CHAT)).content == b""
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await http.post(url, json=CHAT)
        for _ in range(2):
            assert (await http.post(url, json=CHAT)).json()["choices"][0]["message"]["content"] == "four five"
    assert [line.number for line in server.bill.lines] == [1, 3, 4, 5]


async def test_an_answer_may_depend_on_the_request(http: httpx.AsyncClient) -> None:
    def script(request: Received) -> Answer:
        return Answer(f"{request.mode_ran} {request.number} {request.question}")

    async with BillServer(script) as server:
        url = f"{server.url}/chat/completions"
        texts = [
            (await http.post(url, json=body)).json()["choices"][0]["message"]["content"] for body in (CHAT, THINKING)
        ]
    assert texts == ["standard 0 one two three", "thinking 1 one two three"]


SWITCHES: list[tuple[str, Mapping[str, Any], Mapping[str, str], str | None]] = [
    ("model-name", {"model": "deepseek-reasoner"}, {}, "thinking"),
    ("model-name", {"model": "deepseek-chat"}, {}, "standard"),
    ("thinking-type", {"thinking": {"type": "enabled"}}, {}, "thinking"),
    ("thinking-type", {"thinking": {"type": "disabled"}}, {}, "standard"),
    ("template-thinking", {"chat_template_kwargs": {"thinking": False}}, {}, "standard"),
    ("template-thinking", {"chat_template_kwargs": {"enable_thinking": True}}, {}, None),
    ("template-both", {"chat_template_kwargs": {"thinking": True, "enable_thinking": True}}, {}, "thinking"),
    ("template-both", {"chat_template_kwargs": {"thinking": True}}, {}, None),
    ("enable-thinking", {"enable_thinking": False}, {}, "standard"),
    ("reasoning-object", {"reasoning": {"enabled": True}}, {}, "thinking"),
    ("effort", {"reasoning_effort": "none"}, {}, "standard"),
    ("effort", {"reasoning_effort": "high"}, {}, "thinking"),
    ("model-suffix", {"model": "deepseek-v3.1:thinking"}, {}, "thinking"),
    ("header", {}, {"x-enable-thinking": "true"}, "thinking"),
    ("any", {"model": "m"}, {}, None),
]


@pytest.mark.parametrize(("dialect", "body", "headers", "mode"), SWITCHES)
def test_the_mode_is_read_in_each_wire_form(
    dialect: Any, body: Mapping[str, Any], headers: Mapping[str, str], mode: str | None
) -> None:
    assert mode_asked(dialect, body, headers) == mode


async def test_connections_are_counted(http: httpx.AsyncClient) -> None:
    async with BillServer(ANSWER, key="k") as server:
        url = f"{server.url}/chat/completions"
        for _ in range(3):
            assert (await http.post(url, json=CHAT)).status_code == 401
        assert (await http.post(url, json=CHAT, headers={"authorization": "Bearer k"})).status_code == 200
        assert (server.connections, server.open_connections, len(server.requests)) == (1, 1, 1)
