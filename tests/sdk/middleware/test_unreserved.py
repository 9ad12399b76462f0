"""An answer that is there already needs no room in a budget, no place, no closed circuit and no endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, CircuitBreaker, Endpoint, StreamStarted
from deepthrift.errors import (
    BudgetExceeded,
    CircuitOpen,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    LedgerUnavailable,
    PriceNotFound,
)
from deepthrift.middleware import CallNext, Request, Response, ResponseCache
from deepthrift_pricing import Attempt, Budget, Ledger, PriceBook
from deepthrift_pricing._ledger.queued import QueuedBookings
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import Door, ask, booked, every_door, prices, settings

CALL: dict[str, Any] = {"mode": "thinking", "max_tokens": 100}
PLAIN = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Mine."}}]}
EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"Mine."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    with ResponseCache(tmp_path / "cache.db") as opened:
        yield opened


def last(ledger: Ledger) -> Attempt:
    return max(ledger.attempts(), key=lambda attempt: attempt.id)


@every_door
@pytest.mark.parametrize("policy", ["wait", "refuse", "clamp", "downgrade"])
async def test_it_comes_when_the_budget_is_used_up(door: Door, policy: Any, cache: ResponseCache) -> None:
    async with BillServer(Answer("Paris.", prompt_tokens=50_000)) as server:
        with Ledger.open(budgets=[Budget("0.01", per="total", policy=policy)]) as ledger:
            client: dict[str, Any] = {"middleware": [cache], "ledger": ledger}
            first = await ask(door, server, "Why?", client=client, **CALL)
            [before] = ledger.budget_status()
            assert before.spent > before.limit, "the host counted more than was reserved"
            with pytest.raises(BudgetExceeded):
                await ask(door, server, "And else?", client=client, **CALL)
            again = await ask(door, server, "Why?", client=client, **CALL)
            assert (again.text, again.reasoning, again.mode) == (first.text, first.reasoning, "thinking")
            assert (again.cached, again.cost.amount, again.cost.certainty) == (True, 0, "exact")
            assert not [told for told in again.warnings if "budget" in told]
            [after] = ledger.budget_status()
            assert (after.spent, after.reserved) == (before.spent, before.reserved)
            attempt = last(ledger)
            assert (attempt.status, attempt.finish_reason, attempt.http_status) == ("released", "stop", None)
            assert (attempt.reserved, attempt.cost) == (first.attempts[0].reserved, again.cost)
            assert again.attempts == (attempt,)
            assert booked(ledger) == server.bill.total
        assert len(server.requests) == 1


@every_door
async def test_it_comes_when_the_circuit_is_open_and_when_the_host_is_down(door: Door, cache: ResponseCache) -> None:
    breaker = CircuitBreaker(failures=1, pause=600)
    client: dict[str, Any] = {"middleware": [cache], "circuit_breaker": breaker, "max_retries": 0}
    with BillServer(Answer("Paris.")) as server:
        first = await ask(door, server, "Why?", client=client, **CALL)
        url = server.url
    again = await ask(door, url, "Why?", client=client, **CALL)
    assert (again.text, again.cached) == (first.text, True)
    async with AsyncClient(**settings(url, **client)) as opened:
        for kind in (ConnectionFailed, CircuitOpen):
            with pytest.raises(kind):
                await opened.chat("Else?", **CALL)
        streamed = "stream" in door
        if not streamed:
            reply = await opened.chat("Why?", **CALL)
        else:
            async with opened.stream("Why?", **CALL) as stream:
                events = [event async for event in stream]
            assert isinstance(events[0], StreamStarted)
            reply = stream.reply
        assert (reply.text, reply.cached) == (first.text, True)
        assert [status.circuit for status in opened.endpoints] == ["open"], "it says nothing about the endpoint"


async def test_it_waits_for_no_place_and_no_room_that_others_hold(cache: ResponseCache) -> None:
    answers = [Answer("Paris."), Answer("one two", stall_after=1)]
    with Ledger.open(budgets=[Budget("0.00025", per="total")]) as ledger:
        async with (
            BillServer(answers) as server,
            AsyncClient(**settings(server, middleware=[cache], ledger=ledger, max_concurrency=1)) as client,
        ):
            await client.chat("Why?", **CALL)
            held = asyncio.create_task(client.chat("Else?", **CALL))
            while len(server.requests) < 2:
                await asyncio.sleep(0.005)
            assert (await client.chat("Why?", **CALL)).cached
            assert client.endpoints[0].in_flight == 1
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held


async def test_a_second_endpoint_is_not_asked_for_what_the_first_one_said(cache: ResponseCache) -> None:
    with BillServer(Answer("Paris.")) as away, BillServer(Answer("Rome.")) as other:
        where = [Endpoint(each.url, host="vllm", api_key="k", prices=prices()) for each in (away, other)]
        async with AsyncClient(
            endpoints=where, middleware=[cache], circuit_breaker=CircuitBreaker(failures=1, pause=600)
        ) as client:
            assert (await client.chat("Why?")).text == "Paris."
            away.script = Failure(503)
            assert (await client.chat("Else?")).text == "Rome."
            assert [status.circuit for status in client.endpoints] == ["open", "closed"]
            reply = await client.chat("Why?")
        assert (reply.text, reply.cached) == ("Paris.", True)
        assert len(other.requests) == 1


async def test_what_was_refused_still_is(cache: ResponseCache) -> None:
    async with BillServer() as server:
        with Ledger.open(budgets=[Budget("0.0000001", per="total", policy="refuse")]) as ledger:
            with pytest.raises(BudgetExceeded):
                await ask("async", server, "Why?", client={"middleware": [cache], "ledger": ledger})
            assert not list(ledger.attempts())
        with pytest.raises(PriceNotFound):
            await ask("async", server, "Why?", client={"middleware": [cache], "prices": PriceBook([])})
    assert not server.requests


async def test_the_middleware_around_it_sees_it_and_what_is_inside_does_not(cache: ResponseCache) -> None:
    seen: list[tuple[str, str, bool]] = []

    def watching(name: str) -> Any:
        async def watches(request: Request, call_next: CallNext) -> Response:
            response = await call_next(request.with_headers({"x-seen": name}))
            seen.append((name, request.attempt_id, response.cached))
            return response

        return watches

    with Ledger.open(budgets=[Budget("0.01", per="total")]) as ledger:
        client: dict[str, Any] = {"middleware": [watching("outer"), cache, watching("inner")], "ledger": ledger}
        async with BillServer(Answer(prompt_tokens=50_000)) as server:
            first, again = [await ask("async", server, "Why?", client=client, **CALL) for _ in range(2)]
    ids = [reply.attempts[0].id for reply in (first, again)]
    assert seen == [("inner", ids[0], False), ("outer", ids[0], False), ("outer", ids[1], True)]


@every_door
async def test_an_error_of_the_middleware_around_it_is_booked_at_nothing(door: Door, cache: ResponseCache) -> None:
    async def breaks(request: Request, call_next: CallNext) -> Response:
        if (await call_next(request)).cached:
            raise ZeroDivisionError
        return await call_next(request)

    async with BillServer() as server:
        await ask(door, server, "Why?", client={"middleware": [cache]}, **CALL)
        with Ledger.open() as ledger:
            with pytest.raises(ZeroDivisionError):
                await ask(door, server, "Why?", client={"middleware": [breaks, cache], "ledger": ledger}, **CALL)
            [attempt] = ledger.attempts()
    assert (attempt.status, attempt.error, attempt.cost.amount) == ("released", "ZeroDivisionError", 0)


async def test_a_stream_of_it_that_is_left_is_booked_at_nothing(cache: ResponseCache) -> None:
    with Ledger.open() as ledger:
        async with BillServer(Answer("one two three")) as server:
            client = {"middleware": [cache], "ledger": ledger}
            await ask("async stream", server, "Why?", client=client)
            async with AsyncClient(**settings(server, **client)) as opened, opened.stream("Why?") as stream:
                async for event in stream:
                    if getattr(event, "text", None):
                        break
                snapshot = stream.snapshot()
        assert (snapshot.cost.amount, snapshot.usage.total_tokens, stream.reply.cached) == (0, 0, True)
        assert last(ledger).status == "released"
        assert booked(ledger) == server.bill.total


async def test_a_ledger_that_cannot_be_written_keeps_no_answer_back(
    cache: ResponseCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with BillServer() as server:
        with Ledger.open() as ledger:
            client = {"middleware": [cache], "ledger": ledger}
            await ask("async", server, "Why?", client=client)

            def full(*_: Any, **__: Any) -> Attempt:
                raise LedgerUnavailable("the disk is full")

            monkeypatch.setattr(QueuedBookings, "book_unsent", full)
            reply = await ask("async", server, "Why?", client=client)
    assert (reply.cached, reply.cost.amount) == (True, 0)
    assert "could not be booked (the disk is full); it was answered without being sent" in reply.warnings[0]


class Memory:
    """A cache of the user's own."""

    def __init__(self, found: object = None, pause: float = 0.0) -> None:
        self.found = found
        self.pause = pause

    async def find_answer(self, request: Request) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        await asyncio.sleep(self.pause)
        if self.found != "answer":
            return self.found
        return Response(chunks=_one(EVENTS), cached=True) if request.stream else Response.of_json(PLAIN, cached=True)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        return await call_next(request)


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


@every_door
async def test_a_cache_of_your_own_is_asked_too(door: Door) -> None:
    async with BillServer() as server:
        for used_up in (False, True):
            with Ledger.open(budgets=[Budget("0.0000001", per="total")] if used_up else []) as ledger:
                client: dict[str, Any] = {"middleware": [Memory(), Memory("answer")], "ledger": ledger}
                reply = await ask(door, server, "Why?", client=client)
                assert (reply.text, reply.cached, reply.cost.amount) == ("Mine.", True, Decimal(0))
        assert not server.connections
        reply = await ask(door, server, "Why?", client={"middleware": [Memory()]})
        assert (reply.text, reply.cached) == ("Paris.", False)


@every_door
async def test_what_goes_wrong_in_a_cache_of_your_own_is_told_and_nothing_is_booked(door: Door) -> None:
    async with BillServer() as server:
        for memory, kind, deadline in (
            (Memory("text"), ConfigurationError, None),
            (Memory(ZeroDivisionError()), ZeroDivisionError, None),
            (Memory(TimeoutError()), TimeoutError, None),
            (Memory("answer", pause=60.0), DeadlineExceeded, 0.05),
        ):
            with Ledger.open() as ledger:
                client: dict[str, Any] = {"middleware": [memory], "ledger": ledger, "max_retries": 0}
                with pytest.raises(kind):
                    await ask(door, server, "Why?", client=client, deadline=deadline)
                assert not list(ledger.attempts())
        assert not server.connections


async def test_a_router_gets_it_when_the_budget_is_used_up(cache: ResponseCache) -> None:
    async with BillServer(Answer("Paris.", prompt_tokens=50_000)) as server:
        with Ledger.open(budgets=[Budget("0.01", per="total", policy="refuse")]) as ledger:
            async with AsyncClient(**settings(server, middleware=[cache], ledger=ledger)) as client:
                router = ModeRouter(client, policy="standard")
                first = await router.chat("Why?", max_tokens=100)
                again = await router.chat("Why?", max_tokens=100)
                with pytest.raises(BudgetExceeded):
                    await router.chat("Else?", max_tokens=100)
    assert (first.cached, again.cached, again.text) == (False, True, first.text)
    assert len(server.requests) == 1
