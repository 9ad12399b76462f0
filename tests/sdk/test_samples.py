"""Several answers to one question, and the response behind a reply."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Samples
from deepthrift.errors import BadRequest, BudgetExceeded, ConfigurationError, InvalidRequestError, ModeNotHonoured
from deepthrift_pricing import Budget, Ledger
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import Door, ask, booked, every_door, settings

LLAMA: dict[str, Any] = {"host": "llama.cpp"}


def numbered(request: Received) -> Answer:
    return Answer(f"Answer {request.number}.")


async def test_a_host_without_n_is_asked_side_by_side() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(numbered) as server:
        async with AsyncClient(**settings(server, ledger=ledger, **LLAMA)) as client:
            samples = await client.samples("Why?", n=5, max_tokens=50, seed=7, temperature=1)
        assert isinstance(samples, Samples)
        assert sorted(samples.texts) == [f"Answer {number}." for number in range(5)]
        assert sorted(request.body["seed"] for request in server.requests) == [7, 8, 9, 10, 11]
        assert all("n" not in request.body for request in server.requests)
        assert samples.cost.amount == booked(ledger) == server.bill.total > 0
        assert {attempt.purpose for attempt in samples.attempts} == {"sample"}
        assert {attempt.group_id for attempt in samples.attempts} == {samples.group_id}
        assert len({attempt.id for attempt in samples.attempts}) == len(samples) == 5
        assert samples.usage.completion_tokens == sum(reply.usage.completion_tokens for reply in samples)
        with Client(**settings(server, **LLAMA)) as sync:
            assert len(await asyncio.to_thread(sync.samples, "Why?", n=2)) == 2


def choices(*texts: str, **usage: int) -> bytes:
    said = [
        {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for index, text in reversed(list(enumerate(texts)))
    ]
    used = {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16}
    return plain(json.dumps({"choices": said, **({"usage": used} if not usage else {})}).encode())


async def test_a_host_with_n_is_asked_once_and_pays_the_prompt_once() -> None:
    ledger = Ledger.open("memory:")
    async with raw_server([choices("one", "two", "three")]) as server:
        async with AsyncClient(**settings(server.url, ledger=ledger)) as client:
            samples = await client.samples("Why?", n=3, max_tokens=50, mode="standard")
            worst = client.estimate("Why?", max_tokens=150).worst
        assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["n"] == 3
        assert len(server.requests) == 1
    assert samples.texts == ("one", "two", "three")
    [attempt] = ledger.attempts()
    assert attempt.reserved == worst
    assert samples.cost.amount == booked(ledger) == (10 * Decimal("0.56") + 6 * Decimal("1.68")) / 10**6
    assert sum(reply.cost.amount for reply in samples) == samples.cost.amount
    assert samples.attempts == (samples[0].attempts[0],)
    assert [reply.text for reply in samples[1:]] == ["two", "three"]


async def test_what_a_host_leaves_out_is_asked_for_again_and_tokens_it_does_not_report_are_counted() -> None:
    def script(number: int) -> list[bytes]:
        return [choices("one two", "three four", none=0) if number == 0 else choices("more")]

    async with raw_server(lambda number: script(number)) as server:
        async with AsyncClient(**settings(server.url)) as client:
            samples = await client.samples("Why?", n=4, max_tokens=50)
        assert len(server.requests) == 3
    assert samples.texts == ("one two", "three four", "more", "more")
    assert (samples[0].usage.completion_tokens, samples[0].usage.certainty) == (4, "estimated")


async def test_every_one_of_them_is_checked() -> None:
    thought = {"role": "assistant", "content": "two", "reasoning_content": "Hm."}
    said = [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one"}},
        {"index": 1, "finish_reason": "stop", "message": thought},
    ]
    body = plain(json.dumps({"choices": said}).encode())
    async with (
        raw_server([body]) as server,
        AsyncClient(**settings(server.url, on_mode_mismatch="raise")) as client,
    ):
        with pytest.raises(ModeNotHonoured) as wrong:
            await client.samples("Why?", n=2, max_tokens=50)
        assert wrong.value.attempt_ids


@pytest.mark.parametrize("n", [0, 129, True, "3", 2.0])
async def test_a_number_that_is_none_is_refused(n: Any) -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        with pytest.raises(InvalidRequestError, match="from 1 to 128"):
            await client.samples("Why?", n=n)
        assert not server.connections


async def test_a_budget_that_shortens_is_kept_by_single_requests() -> None:
    with Ledger.open("memory:", budgets=[Budget("1", per="day", policy="clamp")]) as ledger:
        async with BillServer(numbered) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            assert len(await client.samples("Why?", n=2, max_tokens=50)) == 2
            assert len(server.requests) == 2


async def test_the_first_failure_cancels_the_rest_and_carries_what_all_of_them_cost() -> None:
    def script(request: Received) -> Any:
        return Failure(400, "no", delay=0.1) if request.number == 2 else Answer("Yes.", stall_after=0)

    ledger = Ledger.open("memory:")
    async with (
        BillServer(script) as server,
        AsyncClient(**settings(server, ledger=ledger, **LLAMA)) as client,
    ):
        with pytest.raises(BadRequest) as failed:
            await client.samples("Why?", n=4, max_tokens=50)
        await server.wait_quiet()
        attempts = ledger.attempts()
        assert {attempt.status for attempt in attempts} == {"released", "unknown"}
        assert set(failed.value.attempt_ids) == {attempt.id for attempt in attempts}
        assert failed.value.spend is not None
        assert failed.value.spend.amount == booked(ledger) > 0
        assert sum(request.disconnected for request in server.requests) == 3


async def test_cancelling_cancels_all_and_a_budget_is_never_passed() -> None:
    with Ledger.open("memory:", budgets=[Budget("0.0001", per="day")]) as ledger:
        async with (
            BillServer(Answer("Yes.", stall_after=0)) as server,
            AsyncClient(**settings(server, ledger=ledger, **LLAMA)) as client,
        ):
            task = asyncio.create_task(client.samples("Why?", n=20, max_tokens=10))
            await server.until(lambda bill: len(bill.requests) >= 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.wait_quiet()
            [status] = ledger.budget_status()
            assert status.spent <= status.limit
            with pytest.raises(BudgetExceeded):
                await client.samples("Why?", n=2, max_tokens=100)


@every_door
async def test_the_response_behind_a_reply(door: Door) -> None:
    headers = {"x-ds-trace-id": "trace-7", "set-cookie": "session=secret", "x-own": "1"}
    async with BillServer(Answer("Paris.", headers=headers)) as server:
        reply = await ask(door, server, "Why?")
    assert reply.raw is not None
    assert (reply.raw.status, reply.raw.trace_id, reply.raw.headers["x-own"]) == (200, "trace-7", "1")
    assert "set-cookie" not in reply.raw.headers
    if "stream" in door:
        with pytest.raises(ConfigurationError, match="stream"):
            reply.raw.json()
    else:
        told: Any = reply.raw.json()
        assert told["choices"][0]["message"]["content"] == "Paris."
        assert told["created"] == 1756000000
    assert "raw" not in reply.model_dump()
    assert "trace-7" not in f"{reply!r}"
    assert "Paris" not in f"{reply.raw!r}"
