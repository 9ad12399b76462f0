"""Completions of plain text, and gaps that the model fills: as each host wants them, booked like any call."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Reply
from deepthrift.errors import (
    BudgetExceeded,
    ContextLengthExceeded,
    InvalidRequestError,
    StreamInterrupted,
    UnsupportedFeature,
)
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.tokens import count_text
from tests.sdk.raw_server import END, RawServer, part, plain, raw_server, stream_head
from tests.support.doors import Door, every_door, prices, settings

OFFICIAL: dict[str, Any] = {"host": "deepseek", "model": None}
USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
TEXT = "    return a</think> + b\n"
"""Tags are just text here."""


def body(text: str = TEXT, **choice: Any) -> bytes:
    said = {"index": 0, "text": text, "finish_reason": "stop", **choice}
    return plain(json.dumps({"object": "text_completion", "model": "m", "choices": [said], "usage": USAGE}).encode())


def events(*texts: str, end: bool = True) -> list[bytes]:
    steps = [stream_head()]
    chunks = [{"choices": [{"index": 0, "text": text}]} for text in texts]
    steps += [part(f"data: {json.dumps(chunk)}\n\n".encode()) for chunk in chunks]
    if end:
        last = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": USAGE}
        steps += [part(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode()), END]
    return steps


async def complete(door: Door, url: str, prompt: str, client: dict[str, Any] | None = None, **call: Any) -> Reply:
    wanted = settings(url, **(client or {}))
    if door.startswith("async"):
        async with AsyncClient(**wanted) as opened:
            if door == "async":
                return await opened.complete(prompt, **call)
            async with opened.stream_complete(prompt, **call) as stream:
                async for _ in stream:
                    pass
            return stream.reply

    def synchronous() -> Reply:
        with Client(**wanted) as opened:
            if door == "sync":
                return opened.complete(prompt, **call)
            with opened.stream_complete(prompt, **call) as stream:
                for _ in stream:
                    pass
            return stream.reply

    return await asyncio.to_thread(synchronous)


def answer(door: Door) -> list[bytes]:
    return events("    return a", "</think> + b\n") if "stream" in door else [body()]


def sent(server: RawServer, number: int = 0) -> tuple[str, dict[str, Any]]:
    head, _, given = server.requests[number].partition(b"\r\n\r\n")
    return head.split(b" ")[1].decode(), json.loads(given)


@every_door
async def test_the_official_api_fills_a_gap_in_its_beta_path(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with raw_server(answer(door)) as server:
        client = {**OFFICIAL, "ledger": ledger}
        reply = await complete(door, server.url, "def add(a, b):\n", client, suffix="\nadd(1, 2)", max_tokens=64)
    path, given = sent(server)
    assert path == "/beta/completions"
    assert (given["prompt"], given["suffix"], given["max_tokens"]) == ("def add(a, b):\n", "\nadd(1, 2)", 64)
    assert given["model"] == "deepseek-chat"
    assert "messages" not in given
    assert (reply.text, reply.reasoning, reply.mode, reply.finish_reason) == (TEXT, None, "standard", "stop")
    assert not reply.warnings
    assert reply.cost.amount == (10 * Decimal("0.56") + 4 * Decimal("1.68")) / 10**6
    assert reply.usage.completion_tokens == 4
    [attempt] = ledger.attempts()
    assert (attempt.status, attempt.mode) == ("settled", "standard")


@every_door
async def test_a_server_of_ones_own_gets_v31s_tokens_counted_exactly(door: Door) -> None:
    async with raw_server(answer(door)) as server:
        reply = await complete(door, server.url, "a = ", suffix="\nb = 2")
    path, given = sent(server)
    assert path == "/v1/completions"
    assert given["prompt"] == "<｜fim▁begin｜>a = <｜fim▁hole｜>\nb = 2<｜fim▁end｜>"
    assert "suffix" not in given
    assert given["max_tokens"] == 512
    tokens = 4 + count_text("a = ") + count_text("\nb = 2")
    worst = prices().worst(host="vllm", model="m", mode="standard", prompt_tokens=tokens, max_tokens=512)
    assert reply.attempts[0].reserved == worst


async def test_options_and_extras_go_along_and_the_older_logprobs_are_read() -> None:
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {"b": -0.5, "c": -1.5}]}
    async with raw_server([body("ab", logprobs=logprobs)]) as server:
        reply = await complete(
            "async",
            server.url,
            "x",
            top_logprobs=2,
            temperature=0,
            stop=["\n"],
            seed=7,
            extra_body={"echo": False},
            extra_headers={"X-Team": "search"},
        )
    _, given = sent(server)
    assert (given["logprobs"], given["temperature"], given["stop"], given["seed"]) == (2, 0, ["\n"], 7)
    assert given["echo"] is False
    assert b"x-team: search" in server.requests[0]
    assert reply.logprobs is not None
    assert [(token.token, token.logprob) for token in reply.logprobs] == [("a", None), ("b", -0.5)]
    assert reply.logprobs[1].top == (("b", -0.5), ("c", -1.5))


async def test_without_usage_the_cost_is_estimated_and_a_broken_stream_keeps_what_came() -> None:
    whole = plain(json.dumps({"choices": [{"index": 0, "text": "one two", "finish_reason": "length"}]}).encode())
    async with raw_server([whole]) as server:
        reply = await complete("async", server.url, "Count:")
    assert (reply.usage.completion_tokens, reply.usage.certainty) == (count_text("one two"), "estimated")
    async with raw_server([*events("one", " two", end=False), END]) as server:
        with pytest.raises(StreamInterrupted) as broken:
            await complete("async stream", server.url, "Count:")
    assert broken.value.partial is not None
    assert broken.value.partial.text == "one two"
    assert broken.value.spend


async def test_a_budget_holds_and_may_shorten_it() -> None:
    async with raw_server([body()]) as server:
        with pytest.raises(BudgetExceeded):
            await complete(
                "async", server.url, "x", {"ledger": Ledger.open("memory:", budgets=[Budget("0.00001", per="day")])}
            )
        assert not server.connections
        clamping = Ledger.open("memory:", budgets=[Budget("0.0001", per="day", policy="clamp")])
        reply = await complete("async", server.url, "x", {"ledger": clamping}, max_tokens=4000)
    _, given = sent(server)
    assert 16 <= given["max_tokens"] < 4000
    assert "a budget had room" in reply.warnings[0]


LOCAL = HostProfile.named("local")
SMALL = HostProfile.named("vllm").model_copy(update={"context": 100})


@pytest.mark.parametrize(
    ("client", "call", "error", "told"),
    [
        ({"host": "openrouter", "model": None}, {"prompt": "x"}, UnsupportedFeature, "not known to complete"),
        ({"host": LOCAL}, {"prompt": "x", "suffix": "y"}, UnsupportedFeature, "fills no gaps"),
        ({}, {"prompt": ""}, InvalidRequestError, "prompt is empty"),
        ({}, {"prompt": 7}, InvalidRequestError, "prompt is text"),
        ({}, {"prompt": "x", "suffix": 7}, InvalidRequestError, "suffix is text"),
        ({}, {"prompt": "\ud800"}, InvalidRequestError, "lone surrogate"),
        ({}, {"prompt": "<｜fim▁hole｜>", "suffix": "y"}, InvalidRequestError, "its own mark"),
        ({}, {"prompt": "x", "tools": []}, InvalidRequestError, "belongs to a chat"),
        ({}, {"prompt": "x", "temprature": 1}, InvalidRequestError, "did you mean 'temperature'"),
        ({}, {"prompt": "x", "max_tokens": 0}, InvalidRequestError, "max_tokens"),
        (OFFICIAL, {"prompt": "x", "max_tokens": 4097}, InvalidRequestError, "4,096"),
        ({"host": SMALL}, {"prompt": "x " * 80, "max_tokens": 50}, ContextLengthExceeded, "holds, 100"),
    ],
)
async def test_what_cannot_be_is_told_before_anything_is_sent(
    client: dict[str, Any], call: dict[str, Any], error: type[Exception], told: str
) -> None:
    async with raw_server([body()]) as server:
        with pytest.raises(error, match=told):
            await complete("async", server.url, client=client, **call)
        assert not server.connections
