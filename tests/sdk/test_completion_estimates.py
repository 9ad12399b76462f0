"""What a completion will cost: the worst case is what is reserved, and what cannot be sent cannot be estimated."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Endpoint
from deepthrift.errors import ContextLengthExceeded, InvalidRequestError, PriceNotFound, UnsupportedFeature
from deepthrift.hosts import Completions, HostProfile
from deepthrift_pricing import Estimate, PriceBook
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings

OFFICIAL: dict[str, Any] = {"host": "deepseek", "model": None}
ONWARD = HostProfile.named("vllm").model_copy(update={"name": "onward", "completions": Completions(fim="none")})
NOWHERE = "http://127.0.0.1:9/v1"


def body(tokens: int = 4) -> bytes:
    said = {"index": 0, "text": "text", "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    return plain(json.dumps({"object": "text_completion", "model": "m", "choices": [said], "usage": usage}).encode())


def estimate(prompt: str, client: dict[str, Any] | None = None, **call: Any) -> Estimate:
    with Client(**settings(NOWHERE, **(client or {}))) as opened:
        return opened.estimate_complete(prompt, **call)


def _less_than_none(messages: object, mode: object) -> int:
    return -1


CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"max_tokens": 64}),
    ({}, {"suffix": "\nb = 2", "max_tokens": 64}),
    ({}, {}),
    (OFFICIAL, {"suffix": "\nb = 2"}),
    ({"model": "another/model"}, {"max_tokens": 64}),
]


@pytest.mark.parametrize(("client", "call"), CALLS)
async def test_the_worst_case_is_what_is_reserved(client: dict[str, Any], call: dict[str, Any]) -> None:
    async with raw_server([body()]) as server, AsyncClient(**settings(server.url, **client)) as opened:
        told = opened.estimate_complete("a = ", **call)
        assert not server.requests, "an estimate sends nothing"
        reply = await opened.complete("a = ", **call)
    [attempt] = reply.attempts
    assert told.worst == attempt.reserved
    assert told.least <= reply.cost.total <= told.worst
    assert (told.mode, told.max_tokens) == ("standard", call.get("max_tokens", 512))
    assert (told.likely, told.prefix) == (None, None)
    if "suffix" in call and not client:
        assert told.prompt_certainty == "exact"
    assert await asyncio.to_thread(estimate, "a = ", client, **call) == told


async def test_a_begun_answer_is_estimated_with_its_beginning() -> None:
    with BillServer(Answer("Paris.")) as server:
        async with AsyncClient(**settings(server)) as client:
            told = client.estimate("The capital?", prefix="In one word: ", max_tokens=8)
            assert told.prompt_tokens > client.estimate("The capital?", max_tokens=8).prompt_tokens
            reply = await client.chat("The capital?", prefix="In one word: ", max_tokens=8)
    assert told.worst == reply.attempts[0].reserved


async def test_the_length_is_that_of_earlier_answers_or_told() -> None:
    lengths = (3, 5, 40, 7, 9)
    async with (
        raw_server(lambda number: [body(lengths[number])]) as server,
        AsyncClient(**settings(server.url)) as client,
    ):
        for _ in range(5):
            await client.complete("a = ", max_tokens=64)
        told = client.estimate_complete("a = ", max_tokens=64)
        assert (told.likely_completion_tokens, told.recorded_answers) == (7, 5)
        asked: list[object] = []

        def expected(messages: object, mode: object) -> int:
            asked.extend((messages, mode))
            return 90

        told = client.estimate_complete("a = ", suffix="b", max_tokens=64, expected_length=expected)
    assert asked == ["a = ", "standard"]
    assert (told.likely_completion_tokens, told.recorded_answers) == (64, 0)
    assert told.likely == told.worst


def test_what_cannot_be_sent_cannot_be_estimated() -> None:
    with pytest.raises(UnsupportedFeature, match="not known to complete"):
        estimate("a = ", {"host": "siliconflow"})
    with pytest.raises(UnsupportedFeature, match="fills no gaps"):
        estimate("a = ", {"host": ONWARD}, suffix="b")
    with pytest.raises(InvalidRequestError, match="empty"):
        estimate("")
    with pytest.raises(InvalidRequestError, match="its own mark"):
        estimate("<｜fim▁hole｜>", suffix="b")
    with pytest.raises(InvalidRequestError, match="4,096"):
        estimate("a", OFFICIAL, max_tokens=5000)
    with pytest.raises(InvalidRequestError, match="temperature"):
        estimate("a", temperature=3)
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        estimate("a", max_tokens=-1)
    with pytest.raises(InvalidRequestError, match="did you mean"):
        estimate("a", temprature=1)
    with pytest.raises(InvalidRequestError, match="expected_length"):
        estimate("a", expected_length=_less_than_none)
    with pytest.raises(ContextLengthExceeded):
        estimate("word " * 200_000)
    with pytest.raises(PriceNotFound):
        estimate("a", {"prices": PriceBook([])})


def test_of_several_endpoints_those_that_can_are_estimated() -> None:
    dear = PriceBook.flat(cache_hit="1", cache_miss="10", completion="20")
    cheap = PriceBook.flat(cache_hit="0.01", cache_miss="0.1", completion="0.2")
    cannot = Endpoint(NOWHERE, host="siliconflow", api_key="k", prices=cheap)
    can = [Endpoint(NOWHERE, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices=prices) for prices in (cheap, dear)]
    with Client(endpoints=[cannot, *can]) as client:
        told = client.estimate_complete("a = ", suffix="b", max_tokens=8)
        both = [
            prices.worst(host="vllm", model="m", mode="standard", prompt_tokens=told.prompt_tokens, max_tokens=8)
            for prices in (cheap, dear)
        ]
        assert told.worst == max(both, key=lambda money: money.pico)
    with Client(endpoints=[cannot]) as client, pytest.raises(UnsupportedFeature):
        client.estimate_complete("a = ")
