"""What one call may change, and what an endpoint tells of itself: through every door."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from deepthrift import AsyncClient, Balance, Client, ModelInfo
from deepthrift.errors import (
    AttemptTimeout,
    AuthenticationFailed,
    DeadlineExceeded,
    InvalidRequestError,
    MalformedResponse,
    ServerError,
    UnsupportedFeature,
)
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer, Drop, Failure
from tests.support.doors import Door, ask, every_door, settings, through_async


@every_door
async def test_headers_of_one_call_win_over_the_clients(door: Door) -> None:
    async with BillServer() as server:
        client = {"headers": {"X-Team": "search", "X-Trace": "old"}}
        await ask(door, server, "Why?", client=client, extra_headers={"x-trace": "new", "Authorization": "Bearer mine"})
        sent = server.requests[0].headers
        assert (sent["x-team"], sent["x-trace"], sent["authorization"]) == ("search", "new", "Bearer mine")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"a b": "c"}, "name of a header"),
        ({"x": "a\r\nb"}, "printable"),
        ({"x": 1}, "printable"),
        ({"Content-Length": "5"}, "client itself"),
    ],
)
async def test_headers_that_no_request_can_carry_are_refused_and_not_quoted(headers: Any, told: str) -> None:
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match=told) as wrong:
            await ask("async", server, "Why?", extra_headers=headers)
        assert "\r" not in str(wrong.value)
        assert not server.connections


@every_door
async def test_one_call_may_retry_more_or_less_than_the_client(door: Door) -> None:
    async with BillServer([Failure(500, retry_after="0.01"), Answer("Yes.")]) as server:
        with pytest.raises(ServerError):
            await ask(door, server, "Why?", max_retries=0)
        assert (await ask(door, server, "Why?", client={"max_retries": 0}, max_retries=1)).text == "Yes."
    async with BillServer([Drop(), Answer("Yes.")]) as server:
        reply = await ask(door, server, "Why?", retry_unanswered=True)
        assert [attempt.status for attempt in reply.attempts] == ["unknown", "settled"]


async def test_one_stream_may_be_silent_for_less_long_than_the_others() -> None:
    async with BillServer(Answer("one two", stall_after=1)) as server:
        with pytest.raises(AttemptTimeout, match="idle_timeout"):
            await ask("async stream", server, "Why?", idle_timeout=0.1)


LISTED: list[tuple[dict[str, Any], ModelInfo]] = [
    ({}, ModelInfo(id="a")),
    (
        {"owned_by": "deepseek", "name": "A", "context_window": 8},
        ModelInfo(id="a", owned_by="deepseek", name="A", context_window=8),
    ),
    ({"max_model_len": 131072}, ModelInfo(id="a", context_window=131072)),
    ({"meta": {"n_ctx_train": 4096}}, ModelInfo(id="a", context_window=4096)),
    (
        {"context_length": 9, "top_provider": {"max_completion_tokens": 3}},
        ModelInfo(id="a", context_window=9, max_output_tokens=3),
    ),
]


@pytest.mark.parametrize(("listed", "model"), LISTED)
async def test_what_a_host_tells_of_a_model_is_read_in_its_own_words(listed: dict[str, Any], model: ModelInfo) -> None:
    body = plain(json.dumps({"object": "list", "data": [{"id": "a", **listed}]}).encode())
    async with raw_server([body]) as server, AsyncClient(**settings(server.url)) as client:
        assert await client.models() == (model,)


MONEY = {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"}


async def test_the_balance_is_exact() -> None:
    routes = {"/user/balance": lambda _: {"is_available": True, "balance_infos": [MONEY]}}
    async with BillServer(routes=routes, key="key") as server:
        wanted = settings(server, host="deepseek", model=None)
        async with AsyncClient(**wanted) as client:
            told = await client.balance()
        with Client(**wanted) as sync:
            assert await asyncio.to_thread(sync.balance) == told
        assert isinstance(told, Balance)
        assert told.is_available
        [amount] = told.amounts
        assert (amount.currency, amount.total, amount.granted) == ("CNY", Decimal("110.00"), Decimal("10.00"))
        assert str(amount.topped_up) == "100.00"
        async with AsyncClient(**{**wanted, "api_key": "wrong"}) as client:
            with pytest.raises(AuthenticationFailed):
                await client.balance()


async def test_a_host_without_a_balance_says_so_and_garbage_is_no_balance() -> None:
    async with raw_server([plain(b"{}")]) as server:
        async with AsyncClient(**settings(server.url)) as client:
            with pytest.raises(UnsupportedFeature, match="tells no balance"):
                await client.balance()
        assert not server.connections
        async with AsyncClient(**settings(server.url, host="deepseek", model=None)) as client:
            with pytest.raises(MalformedResponse, match="balance"):
                await client.balance()


def _entry(token: str, logprob: float) -> dict[str, Any]:
    best = [{"token": token, "logprob": -0.5}, {"token": "?", "logprob": -9999.0}]
    return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": best}


PROBABLE = {
    "content": [_entry("Par", -0.5), _entry("is", -9999.0)],
    "reasoning_content": [_entry("Hm", -0.25)],
}


class _NeverCounts(httpx.AsyncBaseTransport):
    """An engine that is asked to count, and does not."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_the_deadline_holds_while_the_engine_counts(streamed: bool) -> None:
    async with AsyncClient("http://engine", host="local", prices="brief", transport=_NeverCounts()) as client:
        async with asyncio.timeout(60):  # the count alone would never end
            with pytest.raises(DeadlineExceeded) as late:
                await through_async(client, "Why?", streamed=streamed, deadline=0.05)
    assert late.value.attempt_ids == ()


@every_door
async def test_logprobs_of_answer_and_reasoning_and_of_tokens_outside_the_best(door: Door) -> None:
    said = {"content": "Paris", "reasoning_content": "Hm"}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": PROBABLE}
    if "stream" in door:
        chunk = json.dumps({"choices": [{**choice, "delta": said}], "usage": usage}).encode()
        body = plain(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")
    else:
        body = plain(json.dumps({"choices": [{**choice, "message": said}], "usage": usage}).encode())
    async with raw_server([body]) as server:
        wanted = {"host": "deepseek-v4", "model": "deepseek-v4-flash"}
        reply = await ask(door, server.url, "Why?", mode="thinking", top_logprobs=2, client=wanted)
    assert reply.logprobs is not None
    assert reply.reasoning_logprobs is not None
    first, second = reply.logprobs
    assert (first.token, first.logprob, first.top) == ("Par", -0.5, (("Par", -0.5),))
    assert (second.logprob, second.probability) == (None, 0.0)
    assert first.probability == pytest.approx(0.6065, abs=1e-4)
    assert [token.token for token in reply.reasoning_logprobs] == ["Hm"]
