"""Odd ends of an attempt, and what the ledger then holds."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, HostProfile, TextDelta
from deepthrift.errors import (
    BadRequest,
    ConfigurationError,
    ConnectionFailed,
    InsufficientBalance,
    LedgerUnavailable,
    MalformedResponse,
    RateLimited,
    ServerError,
    StreamInterrupted,
)
from deepthrift_pricing import Ledger, PriceBook
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.support.bill_server import Answer, BillServer, Failure, RawBody
from tests.support.doors import PROMPT, Door, ask, booked, every_door, every_stream, prices, settings, through_async

WORST = Decimal("0.00112") + 50 * Decimal("0.00000168")
"""Of PROMPT with `max_tokens=50`."""


def failing(door: str, value: object) -> RawBody:
    """An error in the place of an answer, with status 200."""
    body = json.dumps(value).encode()
    return RawBody(body if "stream" not in door else b"data: " + body + b"\n\n")


@every_door
@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"error": {"code": 400, "message": "no"}}, BadRequest, "released"),
        ({"error": {"code": 429, "message": "slow down"}}, RateLimited, "released"),
        ({"error": {"message": "Insufficient Balance"}}, InsufficientBalance, "unknown"),
        ({"object": "error", "message": "boom", "code": 500}, ServerError, "unknown"),
        ({"error": {"code": 502, "message": "boom"}}, ServerError, "unknown"),
        ({"error": {"code": 503, "message": "boom"}}, ServerError, "released"),
        ({"code": 20024, "message": "boom", "data": None}, ServerError, "unknown"),
        ({"error": "boom"}, ServerError, "unknown"),
    ],
)
async def test_an_error_in_an_answers_place_is_typed_and_booked(
    door: Door, error: object, kind: type[Exception], status: str
) -> None:
    """Only an endpoint that names the status of a refusal is known not to bill it."""
    ledger = Ledger.open("memory:")
    async with BillServer(failing(door, error)) as server:
        with pytest.raises(kind):
            await ask(door, server, max_tokens=50, client={"ledger": ledger, "max_retries": 0})
    [attempt] = ledger.attempts()
    assert attempt.status == status
    assert attempt.cost.amount == (0 if status == "released" else WORST)
    ledger.close()


@every_stream
async def test_usage_that_is_told_on_the_way_is_used_when_the_stream_breaks(door: Door) -> None:
    answer = Answer([" the"] * 50, prompt_tokens=2000, cache_hit=1536, usage="every-chunk", cut_after=20)
    ledger = Ledger.open("memory:")
    async with BillServer(answer) as server:
        with pytest.raises(StreamInterrupted) as broken:
            await ask(door, server, max_tokens=50, client={"ledger": ledger})
    assert broken.value.partial is not None
    assert broken.value.partial.usage.cache_hit_tokens == 1536
    assert broken.value.partial.usage.certainty == "estimated"
    assert booked(ledger) == server.bill.total
    ledger.close()


@every_stream
async def test_a_stream_without_its_end_mark_is_complete_if_it_said_why_it_ended(door: Door) -> None:
    async with BillServer(Answer("Paris.", done=False, usage="last-chunk")) as server:
        reply = await ask(door, server, max_tokens=50)
    assert (reply.text, reply.finish_reason, reply.cost.certainty) == ("Paris.", "stop", "exact")
    assert reply.cost.amount == server.bill.total


async def test_a_stream_with_its_end_mark_alone_is_complete() -> None:
    body = b'data: {"choices":[{"delta":{"content":"Paris."}}]}\n\ndata: [DONE]\n\n'
    async with BillServer(RawBody(body)) as server:
        reply = await ask("async stream", server, max_tokens=50)
    assert (reply.text, reply.finish_reason) == ("Paris.", "unknown")


async def test_a_stream_that_ends_without_a_word_of_why_is_broken() -> None:
    body = b'data: {"choices":[{"delta":{"content":"Par"}}]}\n\n'
    async with BillServer(RawBody(body)) as server:
        with pytest.raises(StreamInterrupted, match="before the answer did") as broken:
            await ask("async stream", server, max_tokens=50)
    assert broken.value.partial is not None
    assert broken.value.partial.text == "Par"


async def test_a_page_in_a_streams_place_is_malformed() -> None:
    async with BillServer(RawBody(b"<html>Welcome to nginx</html>\n")) as server:
        with pytest.raises(MalformedResponse, match="stream of events"):
            await ask("async stream", server, max_tokens=50)


async def test_garbage_in_mid_stream_keeps_what_came_before() -> None:
    script = [
        stream_head(),
        part(b'data: {"choices":[{"delta":{"content":"Par"}}]}\n\n'),
        0.05,
        part(b"data: {oops\n\n"),
        END,
    ]
    async with raw_server(script) as server, AsyncClient(**settings(server.url)) as client:
        with pytest.raises(StreamInterrupted, match="not JSON") as broken:
            await through_async(client, "Hi", streamed=True, max_tokens=50)
        assert isinstance(broken.value.__cause__, MalformedResponse)
        assert broken.value.partial is not None
        assert broken.value.partial.text == "Par"
        assert client.ledger.attempts()[0].status == "settled"


@pytest.mark.parametrize("method", ["release", "hold_unknown"])
async def test_a_failure_that_cannot_be_booked_is_still_the_failure(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.open("memory:")

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(ledger.queued, method, full)
    behaviour = Failure(400, "no") if method == "release" else RawBody(b"no")
    async with BillServer(behaviour) as server:
        with pytest.raises((BadRequest, MalformedResponse)) as failed:
            await ask("async", server, max_tokens=50, client={"ledger": ledger})
    assert failed.value.spend is not None
    assert failed.value.spend.amount == (0 if method == "release" else WORST)
    assert ledger.attempts()[0].status == "reserved"
    ledger.close()


async def test_a_price_that_ends_while_a_call_runs_books_what_was_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a price that the start decides this cannot be; a book may have others."""
    book = prices()
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server, prices=book)) as client:
        find: Callable[..., Any] = book.cost

        def gone(usage: Any, **given: Any) -> Any:
            return PriceBook().cost(usage, **given) if usage.completion_tokens else find(usage, **given)

        monkeypatch.setattr(book, "cost", gone)
        reply = await client.chat(PROMPT, max_tokens=50)
    assert reply.cost.certainty == "estimated"
    assert reply.cost.amount == WORST


async def test_reasoning_of_an_unknown_tokenizer_is_told_from_its_share() -> None:
    profile = HostProfile.named("openai").model_copy(update={"tokenizer": "bytes"})
    answer = Answer([" the"] * 10, reasoning=[" the"] * 30, usage_shape="bare")
    async with BillServer(answer) as server:
        reply = await ask("async", server, mode="thinking", max_tokens=50, client={"host": profile, "model": "other"})
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (40, 30)
    assert any("share" in note for note in reply.usage.notes)
    assert reply.cost.amount == server.bill.total


async def test_an_unknown_tokenizer_is_bounded_from_above() -> None:
    profile = HostProfile.named("openai").model_copy(update={"tokenizer": "bytes"})
    async with BillServer(Answer("Ja.")) as server, AsyncClient(**settings(server, host=profile, model="o")) as client:
        text = "Größe 你好 " * 20
        assert await client.count(text) >= len(text.encode())
        estimate = client.estimate(text, max_tokens=5)
        assert estimate.prompt_certainty == "estimated"
        assert (await client.chat(text, max_tokens=5)).attempts[0].reserved == estimate.worst


async def test_a_very_long_prompt_does_not_hold_up_the_loop() -> None:
    async with BillServer(Answer("Yes.")) as server, AsyncClient(**settings(server)) as client:
        await client.chat("Hi", max_tokens=5)
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        ticking = asyncio.create_task(tick())
        reply = await client.chat("Wort " * 60_000, max_tokens=5)
        ticking.cancel()
        assert reply.text == "Yes."
        assert turns > 10


async def test_an_endpoint_that_does_not_list_models_is_told() -> None:
    async with raw_server([plain(b"<html>")]) as server, AsyncClient(**settings(server.url)) as client:
        with pytest.raises(MalformedResponse, match="list of models"):
            await client.models()
    async with AsyncClient(**settings("http://127.0.0.1:1/v1")) as client:
        with pytest.raises(ConnectionFailed, match="no connection"):
            await client.models()


async def test_the_breaker_of_an_empty_balance_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        BillServer([Failure(402, "Insufficient Balance"), Answer("Paris.")]) as server,
        AsyncClient(**settings(server)) as client,
    ):
        with pytest.raises(InsufficientBalance):
            await client.chat("Hi", max_tokens=5)
        with pytest.raises(InsufficientBalance, match="nothing was sent"):
            await client.chat("Hi", max_tokens=5)
        assert client._session.target is not None
        client._session.target.admission.circuit._now = lambda: time.monotonic() + 3600
        assert (await client.chat("Hi", max_tokens=5)).text == "Paris."


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_client_from_before_a_fork_says_so() -> None:
    with BillServer(Answer("Paris.")) as server, Client(**settings(server)) as client:
        client.chat("Hi", max_tokens=5)
        child = os.fork()
        if child == 0:
            try:
                client.chat("Hi", max_tokens=5)
            except ConfigurationError as error:
                os._exit(7 if "fork" in str(error) else 8)
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert client.chat("Hi", max_tokens=5).text == "Paris."


async def test_times_in_the_ledger_are_those_of_the_attempt() -> None:
    began = datetime.now(UTC)
    async with BillServer(Answer("Paris.", hold=0.1)) as server, AsyncClient(**settings(server)) as client:
        reply = await client.chat("Hi", max_tokens=5)
    [attempt] = reply.attempts
    assert attempt.ended_at is not None
    assert began - timedelta(seconds=1) <= attempt.started_at < attempt.ended_at <= datetime.now(UTC)
    assert (attempt.seconds or 0) >= 0.1


async def test_text_that_came_with_the_last_bytes_is_not_lost() -> None:
    """Half a closing tag is held back until it is certain that it is none."""
    async with (
        BillServer(Answer(["It is ", "<thi"])) as server,
        AsyncClient(**settings(server)) as client,
        client.stream("Hi", max_tokens=50) as stream,
    ):
        events = [event async for event in stream]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == stream.reply.text == "It is <thi"
