"""42. Errors inside HTTP 200, nested reasons, empty accounts and redirects are typed, in the host's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import (
    BadRequest,
    BalanceExhausted,
    ContextLengthExceeded,
    DeepthriftError,
    InsufficientBalance,
    MalformedResponse,
    RateLimited,
    StatusError,
    StreamInterrupted,
)
from tests.support.bill_server import BillServer, Failure, RawBody
from tests.support.doors import DOORS, STREAMS, Door, ask, settings

WORDS = "the reason in the host's words"


async def error_of(door: Door, body: object, status: int = 200, *, event: str = "") -> DeepthriftError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    if event:
        data = event.encode() + b"data: " + data + b"\n\n"
    async with BillServer(RawBody(data, status=status)) as server:
        with pytest.raises(DeepthriftError) as caught:
            await ask(door, server, "What is 2 + 2?", max_tokens=50, client={"max_retries": 0})
    return caught.value


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "body",
    [
        {"error": WORDS},
        {"error": {"message": WORDS}},
        {"error_code": 336100, "error_msg": WORDS},
        {"code": 20015, "msg": WORDS, "data": None},
        {"detail": WORDS},
        {"errors": [{"message": WORDS}]},
        {"message": WORDS},
        {"success": False, "message": WORDS},
        {"base_resp": {"status_code": 1000, "status_msg": WORDS}, "choices": None},
        {"code": "InvalidParameter", "message": WORDS, "request_id": "r"},
        {"choices": [{"index": 0, "error": {"message": WORDS, "code": 502}, "finish_reason": "error"}]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
async def test_an_error_inside_a_success_is_typed_and_quoted(door: Door, body: Any) -> None:
    for event in ("", "event: error\n"):
        if event and "stream" not in door:
            continue
        error = await error_of(door, body, event=event)
        assert isinstance(error, StatusError)
        assert WORDS in str(error)


@pytest.mark.parametrize("door", DOORS)
async def test_a_page_inside_a_success_is_quoted(door: Door) -> None:
    error = await error_of(door, b"<!DOCTYPE html><html><title>Just a moment...</title><style>x{y:z}</style></html>")
    assert isinstance(error, MalformedResponse)
    assert "Just a moment" in str(error)
    assert "y:z" not in str(error)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("raw", [WORDS, json.dumps({"error": {"message": WORDS, "type": "x"}})])
async def test_what_a_gateway_wraps_reaches_the_user(door: Door, raw: str) -> None:
    metadata = {"raw": raw, "provider_name": "DeepInfra"}
    error = await error_of(
        door, {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}}, 400
    )
    assert isinstance(error, BadRequest)
    assert WORDS in str(error)
    assert "DeepInfra" in str(error)


@pytest.mark.parametrize("door", STREAMS)
async def test_an_error_in_the_middle_of_a_stream_keeps_its_reason(door: Door) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "He"}}]}
    failure = {"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": WORDS}}}
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (chunk, failure))
    error = await error_of(door, data)
    assert isinstance(error, StreamInterrupted)
    assert WORDS in str(error)
    assert error.partial is not None
    assert error.partial.text == "He"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("status", [200, 400, 413, 422, 429, 500])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_an_overflow_is_one_wherever_it_is_told(door: Door, status: int, wrapped: bool) -> None:
    message = "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens"
    inner = {"error": {"message": message}}
    body = (
        {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps(inner)}}} if wrapped else inner
    )
    error = await error_of(door, body, status)
    assert isinstance(error, ContextLengthExceeded)
    assert "8192" in str(error)
    assert "max_tokens" in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"code": "Arrearage", "message": "Access denied", "type": "Arrearage"}}),
        (403, {"code": 30001, "message": "The account balance is insufficient", "data": None}),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}),
        (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        (200, {"error": "Insufficient Balance"}),
    ],
)
async def test_an_empty_account_opens_the_circuit_whatever_its_status(status: int, body: Any) -> None:
    async with (
        BillServer(RawBody(json.dumps(body).encode(), status=status)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        with pytest.raises(InsufficientBalance, match="top it up"):
            await client.chat("Hi", max_tokens=5)
        assert len(server.requests) == 1, "an empty account is not asked again"
        with pytest.raises(BalanceExhausted):
            await client.chat("Hi", max_tokens=5)
        assert len(server.requests) == 1


async def test_a_prompt_that_is_quoted_back_opens_nothing() -> None:
    prompt = "What does 'insufficient balance' mean, and is my prompt too long?"
    body = {"error": {"message": f"Input not allowed: {prompt}"}}
    async with (
        BillServer(RawBody(json.dumps(body).encode(), status=400)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        for _ in range(2):
            with pytest.raises(BadRequest):
                await client.chat(prompt, max_tokens=5)
        assert len(server.requests) == 2


async def test_a_rate_limit_stays_one() -> None:
    body = {"error": {"message": "Rate limit reached on tokens per min (TPM): Limit 6000, Requested 9000"}}
    error = await error_of("async", body, 429)
    assert isinstance(error, RateLimited)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_names_its_target_and_hides_its_secrets(door: Door, status: int) -> None:
    headers = {"location": "https://user:pass-123456@h.example/v2/chat/completions?token=t-123456"}
    async with BillServer(Failure(status, "moved", headers=headers)) as server:
        with pytest.raises(StatusError) as caught:
            await ask(door, server, "Hi", max_tokens=5, client={"max_retries": 0})
        assert len(server.requests) == 1
    assert "https://h.example/v2" in str(caught.value)
    assert "base URL" in str(caught.value)
    assert "123456" not in str(caught.value) + repr(caught.value)


async def test_words_are_shown_on_one_line_without_keys_or_control_characters() -> None:
    key = "secret-key-123456"
    body = {"error": {"message": f"no:\n\u001b[31m{key}\u202e and sk-abcdef0123456789\n" + "x" * 5_000}}
    async with BillServer(RawBody(json.dumps(body).encode(), status=400)) as server:
        with pytest.raises(BadRequest) as caught:
            await ask("async", server, "Hi", max_tokens=5, client={"api_key": key})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
    assert not any(secret in str(caught.value) + caught.value.body for secret in (key, "abcdef0123456789"))
