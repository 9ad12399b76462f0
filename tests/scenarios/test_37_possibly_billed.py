"""37. A failure that may have been billed is held as unknown; a retry reserves its own worst case before it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient, Endpoint, HostProfile
from deepthrift.errors import ConfigurationError, DeepthriftError, ServerError, StatusError
from deepthrift.middleware import CallNext, Request, Response
from deepthrift_pricing import Budget, Ledger
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer, Failure, RawBody
from tests.support.doors import MODEL, Door, ask, booked, every_door, prices
from tests.support.extras import import_module

HELD = (500, 502, 504, 520, 522, 524, 408)
FREE = (429, 503, 529, 501, 521, 523)
PARIS = Answer("Paris.")
PROMPT = "What is the capital of France?"


def statuses(ledger: Ledger) -> list[str]:
    return [attempt.status for attempt in ledger.attempts()]


@every_door
@pytest.mark.parametrize("status", HELD + FREE)
async def test_what_may_be_billed_is_held_and_what_is_refused_is_free(door: Door, status: int) -> None:
    with Ledger.open() as ledger:
        async with BillServer(Failure(status, "no", shape="html", billed=PARIS if status in HELD else None)) as server:
            with pytest.raises(StatusError) as failed:
                await ask(door, server, PROMPT, max_tokens=50, client={"ledger": ledger, "max_retries": 0})
            await server.wait_quiet()
            assert booked(ledger) >= server.bill.total
        [attempt] = ledger.attempts()
        assert attempt.status == ("unknown" if status in HELD else "released")
        assert attempt.cost.total == (attempt.reserved if status in HELD else attempt.reserved * 0)
        assert failed.value.spend == attempt.cost.total


@every_door
@pytest.mark.parametrize("status", [500, 502, 504, 524])
async def test_it_is_retried_and_every_attempt_is_booked(door: Door, status: int) -> None:
    failure = Failure(status, "no", retry_after="0", billed=PARIS)
    with Ledger.open() as ledger:
        async with BillServer([failure, failure, PARIS]) as server:
            reply = await ask(door, server, PROMPT, max_tokens=50, client={"ledger": ledger})
            assert len(server.requests) == 3
            assert reply.cost.amount == booked(ledger) >= server.bill.total
        assert statuses(ledger) == ["unknown", "unknown", "settled"]
    assert (reply.text, reply.cost.certainty) == ("Paris.", "unknown")


@every_door
async def test_no_room_no_retry(door: Door) -> None:
    with Ledger.open() as measure:
        async with BillServer(Failure(502)) as server:
            with pytest.raises(ServerError):
                await ask(door, server, PROMPT, max_tokens=50, client={"ledger": measure, "max_retries": 0})
        worst = measure.attempts()[0].reserved
    for room in (1, 2):
        limit = worst.amount * room + worst.amount / 2
        with Ledger.open(budgets=[Budget(limit, per="total")]) as ledger:
            async with BillServer(Failure(502, "bad gateway", retry_after="0", billed=PARIS)) as server:
                with pytest.raises(ServerError, match="not retried") as failed:
                    await ask(door, server, PROMPT, max_tokens=50, client={"ledger": ledger, "max_retries": 5})
                assert len(server.requests) == room
            assert statuses(ledger) == ["unknown"] * room
            [status] = ledger.budget_status()
            assert status.spent == failed.value.spend == worst * room
            assert len(failed.value.attempt_ids) == room
        assert "bad gateway" in failed.value.message


@every_door
@pytest.mark.parametrize("code", [500, 502, 504, 524, 503])
async def test_an_error_inside_a_success_follows_the_same_rule(door: Door, code: int) -> None:
    value = json.dumps({"error": {"message": "the upstream failed", "code": code}}).encode()
    failure = RawBody(value if "stream" not in door else b"data: " + value + b"\n\n")
    with Ledger.open() as ledger:
        async with BillServer([failure, PARIS]) as server:
            reply = await ask(door, server, PROMPT, max_tokens=50, client={"ledger": ledger})
        assert statuses(ledger) == ["released" if code == 503 else "unknown", "settled"]
    assert reply.text == "Paris."


async def test_a_profile_says_otherwise_for_its_host() -> None:
    text = 'name = "mine"\ntokenizer = "v3.1"\nfree_statuses = [502]\nbilled_statuses = [422, 503]'
    profile = HostProfile.parse(text)
    for status, booked_as in ((502, "released"), (500, "unknown"), (422, "unknown"), (503, "unknown")):
        with Ledger.open() as ledger:
            async with BillServer(Failure(status)) as server:
                with pytest.raises(StatusError):
                    await ask("async", server, PROMPT, client={"host": profile, "ledger": ledger, "max_retries": 0})
            assert statuses(ledger) == [booked_as]
    for wrong in ("free_statuses = [200]", "free_statuses = [502]\nbilled_statuses = [502]"):
        with pytest.raises(ConfigurationError, match="statuses"):
            HostProfile.parse(f'name = "mine"\n{wrong}')


async def test_a_long_prompt_is_refused_for_free_whatever_the_status() -> None:
    with Ledger.open() as ledger:
        async with BillServer(Failure(500, "This model's maximum context length is 8192 tokens")) as server:
            with pytest.raises(DeepthriftError, match="Shorten"):
                await ask("async", server, PROMPT, client={"ledger": ledger})
            assert len(server.requests) == 1
        assert statuses(ledger) == ["released"]


async def test_another_endpoint_takes_over_with_a_reservation_of_its_own() -> None:
    with Ledger.open() as ledger:
        async with BillServer(Failure(502, billed=PARIS)) as first, BillServer(PARIS) as second:
            same: dict[str, Any] = {"host": "vllm", "model": MODEL, "api_key": "key", "prices": prices()}
            endpoints = [Endpoint(each.url, **same) for each in (first, second)]
            async with AsyncClient(endpoints=endpoints, ledger=ledger) as client:
                reply = await client.chat(PROMPT, max_tokens=50)
            assert reply.text == "Paris."
            assert booked(ledger) >= first.bill.total + second.bill.total
        assert statuses(ledger) == ["unknown", "settled"]


async def test_the_facade_does_the_same() -> None:
    with Ledger.open() as ledger:
        async with BillServer([Failure(502, retry_after="0", billed=PARIS), PARIS]) as server:
            facade = import_module("deepthrift_router.compat").AsyncOpenAI
            async with facade(
                base_url=server.url, api_key="key", host="vllm", prices=prices(), ledger=ledger
            ) as client:
                message: Any = {"role": "user", "content": PROMPT}
                answer = await client.chat.completions.create(model="deepseek-chat", messages=[message], max_tokens=50)
            assert booked(ledger) >= server.bill.total
        assert answer.choices[0].message.content == "Paris."
        assert statuses(ledger) == ["unknown", "settled"]


@every_door
async def test_behind_middleware_too(door: Door) -> None:
    async def look(request: Request, call_next: CallNext) -> Response:
        return await call_next(request)

    with Ledger.open() as ledger:
        async with BillServer([Failure(504, retry_after="0", billed=PARIS), PARIS]) as server:
            client = {"ledger": ledger, "middleware": [look]}
            assert (await ask(door, server, PROMPT, max_tokens=50, client=client)).text == "Paris."
        assert statuses(ledger) == ["unknown", "settled"]


@pytest.mark.parametrize(("status", "booked_as"), [(502, "unknown"), (503, "released")])
async def test_embeddings_do_the_same(status: int, booked_as: str) -> None:
    profile = HostProfile.parse('name = "mine"\nembeddings = true')
    with Ledger.open() as ledger:
        async with (
            raw_server([plain(b"{}", status=f"{status} No", headers="retry-after: 0\r\n")]) as server,
            AsyncClient(server.url, host=profile, model="e", prices=prices(), ledger=ledger, max_retries=1) as client,
        ):
            with pytest.raises(ServerError):
                await client.embed("Paris")
            assert len(server.requests) == 2
        assert statuses(ledger) == [booked_as] * 2
