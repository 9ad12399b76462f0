"""Functions around every attempt: what they see, what they may do, and that the books are right whatever they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import ConfigurationError, ConnectionFailed, RateLimited, ServerError, StreamInterrupted
from deepthrift.middleware import CallNext, Middleware, Request, Response
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Drop, Failure
from tests.support.doors import Door, ask, booked, every_door, every_stream, settings

CANNED = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Canned."}}]}
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Canned."}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
)


async def canned(request: Request, call_next: CallNext) -> Response:
    if request.stream:
        return Response(chunks=pieces(*EVENTS))
    return Response.of_json(CANNED)


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def through(door: Door, server: BillServer, *middleware: Middleware, **call: Any) -> tuple[Any, Ledger]:
    ledger = Ledger.open("memory:")
    client = {"middleware": middleware, "ledger": ledger, **call.pop("client", {})}
    return await ask(door, server, "Why?", client=client, max_tokens=50, **call), ledger


@every_door
async def test_it_runs_once_for_each_attempt_the_first_outermost(door: Door) -> None:
    seen: list[tuple[str, Any]] = []

    async def outer(request: Request, call_next: CallNext) -> Response:
        seen.append(("outer", request.attempt_id))
        response = await call_next(request)
        seen.append(("outer", response.status))
        return response

    async def inner(request: Request, call_next: CallNext) -> Response:
        seen.append(("inner", request.attempt_id))
        return await call_next(request)

    async with BillServer([Failure(503, retry_after="0.01"), Answer("Yes.")]) as server:
        reply, ledger = await through(door, server, outer, inner)
        first, second = (attempt.id for attempt in ledger.attempts())
        assert seen == [
            ("outer", first),
            ("inner", first),
            ("outer", 503),
            ("outer", second),
            ("inner", second),
            ("outer", 200),
        ]
        assert reply.text == "Yes."
        assert booked(ledger) == reply.cost.amount == server.bill.total > 0


@every_door
async def test_it_sees_everything_and_a_representation_hides_the_key(door: Door) -> None:
    seen: list[Request] = []

    async def look(request: Request, call_next: CallNext) -> Response:
        seen.append(request)
        response = await call_next(request)
        assert "text/event-stream" in repr(response) or response.body
        return response

    async with BillServer() as server:
        reply, ledger = await through(
            door, server, look, tags={"team": "search"}, client={"api_key": "sk-secret-0123456789"}, mode="thinking"
        )
    [request] = seen
    assert request.url == f"{server.url}/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-secret-0123456789"
    assert "secret" not in repr(request)
    assert "team" in repr(request)
    assert request.body["messages"] == [{"role": "user", "content": "Why?"}]
    assert (request.host, request.mode, request.stream) == ("vllm", "thinking", "stream" in door)
    assert request.attempt_id == reply.attempts[0].id
    assert (request.call_id, request.tags) == (reply.call_id, {"team": "search"})
    ledger.close()


@every_door
async def test_headers_can_be_added_changed_and_taken_away_by_a_plain_function(door: Door) -> None:
    def sign(request: Request, call_next: CallNext) -> Any:
        signed = request.with_headers({"X-Signature": "abc"})
        return call_next(
            replace(signed, headers={name: value for name, value in signed.headers.items() if name != "authorization"})
        )

    async with BillServer() as server:
        await through(door, server, sign)
        assert server.requests[0].headers["x-signature"] == "abc"
        assert "authorization" not in server.requests[0].headers


@every_door
async def test_a_short_circuit_costs_nothing_and_sends_nothing(door: Door) -> None:
    async with BillServer() as server:
        reply, ledger = await through(door, server, canned)
        assert reply.text == "Canned."
        assert (reply.cost.amount, reply.cost.certainty, reply.usage.total_tokens) == (Decimal(0), "exact", 0)
        [attempt] = ledger.attempts()
        assert (attempt.status, attempt.finish_reason, attempt.http_status) == ("released", "stop", None)
        assert not server.connections
        assert not reply.cached


@every_door
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, TimeoutError, OSError])
async def test_its_own_exception_is_the_callers_and_the_books_are_right(door: Door, when: str, kind: Any) -> None:
    async def breaks(request: Request, call_next: CallNext) -> Response:
        if when == "after":
            await call_next(request)
        raise kind("mine")

    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        with pytest.raises(kind, match="mine"):
            await ask(door, server, "Why?", max_tokens=50, client={"middleware": [breaks], "ledger": ledger})
        await server.wait_quiet()
        [attempt] = ledger.attempts()
        if when == "before":
            assert attempt.status == "released"
            assert not server.connections
        elif "stream" in door:
            assert attempt.status == "settled"
            assert attempt.cost.certainty == "estimated"
        else:
            assert booked(ledger) == server.bill.total > 0


@every_door
async def test_what_it_makes_of_the_answer_does_not_change_what_is_booked(door: Door) -> None:
    """A middleware that swallows the usage, and half of the text, cannot make the call cheaper."""

    async def rewrite(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        if response.chunks is None:
            return Response.of_json(CANNED)
        async for _ in response.chunks:
            pass
        return replace(response, chunks=pieces(*EVENTS))

    async with BillServer(Answer("a rather long answer", cache_hit=2)) as server:
        reply, ledger = await through(door, server, rewrite)
        assert reply.text == "Canned."
        assert booked(ledger) == reply.cost.amount == server.bill.total > 0
        assert reply.cost.certainty == "exact"


@every_stream
async def test_a_stream_whose_end_it_makes_up_is_booked_as_far_as_it_came(door: Door) -> None:
    async def impatient(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        assert response.chunks is not None
        begun = b""
        async for chunk in response.chunks:
            begun += chunk
            if b"two" in chunk:
                break
        return replace(response, chunks=pieces(begun, EVENTS[1]))

    async with BillServer(Answer("one two three", stall_after=2)) as server:
        reply, ledger = await through(door, server, impatient)
        await server.wait_quiet()
        assert reply.text == "one two"
        assert server.requests[0].disconnected
    [attempt] = ledger.attempts()
    assert attempt.usage is not None
    assert (attempt.status, attempt.usage.completion_tokens, attempt.cost.certainty) == ("settled", 2, "estimated")


@every_door
async def test_a_failure_that_it_covers_up_is_booked_for_what_it_was(door: Door) -> None:
    async def cover(request: Request, call_next: CallNext) -> Response:
        try:
            response = await call_next(request)
        except ConnectionFailed:
            return await canned(request, call_next)
        return response if response.status < 300 else await canned(request, call_next)

    async with BillServer([Failure(429), Drop()]) as server:
        reply, ledger = await through(door, server, cover)
        assert (reply.text, ledger.attempts()[0].status) == ("Canned.", "released")
        assert booked(ledger) == 0
        reply, ledger = await through(door, server, cover)
        assert (reply.text, ledger.attempts()[0].status) == ("Canned.", "unknown")
        assert booked(ledger) == reply.cost.amount > 0


@every_door
async def test_it_can_refuse_and_is_asked_again_like_an_endpoint(door: Door) -> None:
    refusals = 0

    async def limit(request: Request, call_next: CallNext) -> Response:
        nonlocal refusals
        refusals += 1
        if refusals == 1:
            slow = Response.of_json({"error": {"message": "slow down"}}, status=429)
            return replace(slow, headers={"Retry-After": "0.01"})
        if refusals == 2:
            raise RateLimited("slower", status=429, retry_after=0.01)
        return await call_next(request)

    async with BillServer() as server:
        reply, ledger = await through(door, server, limit)
        assert [attempt.status for attempt in reply.attempts] == ["released", "released", "settled"]
        assert len(server.requests) == 1
        ledger.close()


async def twice(request: Request, call_next: CallNext) -> Response:
    await call_next(request)
    return await call_next(request)


async def other_body(request: Request, call_next: CallNext) -> Response:
    return await call_next(replace(request, body={**request.body, "max_tokens": 10**6}))


async def elsewhere(request: Request, call_next: CallNext) -> Response:
    return await call_next(replace(request, url="http://127.0.0.1:1/v1/chat/completions"))


async def nothing(request: Request, call_next: CallNext) -> Any:
    await call_next(request)


@every_door
@pytest.mark.parametrize(
    ("wrong", "told"),
    [(twice, "twice"), (other_body, "more of the request"), (elsewhere, "more of the request"), (nothing, "'nothing'")],
)
async def test_what_it_must_not_do_is_told(door: Door, wrong: Middleware, told: str) -> None:
    async with BillServer() as server:
        with pytest.raises(ConfigurationError, match=told):
            await through(door, server, wrong)
        assert len(server.requests) == (1 if wrong in (twice, nothing) else 0)


@pytest.mark.parametrize("middleware", [canned, [1], ["canned"]])
def test_what_is_no_middleware_is_refused_at_once(middleware: Any) -> None:
    with pytest.raises(ConfigurationError, match="list of functions"):
        AsyncClient(**settings("http://gpu-box/v1", middleware=middleware))


@every_stream
async def test_it_can_watch_a_stream_to_its_end(door: Door) -> None:
    watched: list[bytes] = []
    ended: list[bool] = []

    async def watch(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        assert response.chunks is not None

        async def passing(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            try:
                async for chunk in chunks:
                    watched.append(chunk)
                    yield chunk
            finally:
                ended.append(True)

        return replace(response, chunks=passing(response.chunks))

    async with BillServer(Answer("one two three")) as server:
        reply, ledger = await through(door, server, watch)
        assert reply.text == "one two three"
        assert booked(ledger) == server.bill.total
        assert b"".join(watched).endswith(b"data: [DONE]\n\n")
        assert ended == [True]


@every_stream
@pytest.mark.parametrize("kind", [OSError, TimeoutError, ZeroDivisionError])
async def test_its_own_exception_in_mid_stream_is_the_callers_too(door: Door, kind: Any) -> None:
    async def breaks(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        assert response.chunks is not None

        async def passing(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk
                if b"two" in chunk:
                    raise kind("mine")

        return replace(response, chunks=passing(response.chunks))

    ledger = Ledger.open("memory:")
    async with BillServer(Answer("one two three", stall_after=2)) as server:
        with pytest.raises(kind, match="mine"):
            await ask(door, server, "Why?", max_tokens=50, client={"middleware": [breaks], "ledger": ledger})
        await server.wait_quiet()
        assert server.requests[0].disconnected
    [attempt] = ledger.attempts()
    assert (attempt.status, attempt.usage and attempt.usage.completion_tokens) == ("settled", 2)


async def passing_on(request: Request, call_next: CallNext) -> Response:
    return await call_next(request)


async def test_leaving_a_stream_stops_the_upstream_and_books_what_came() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(Answer("one two three", stall_after=1)) as server:
        async with (
            AsyncClient(**settings(server, ledger=ledger, middleware=[passing_on])) as client,
            client.stream("Why?", max_tokens=50) as stream,
        ):
            async for event in stream:
                if getattr(event, "text", None):
                    break
        await server.wait_quiet()
        assert server.requests[0].disconnected
        [attempt] = ledger.attempts()
        assert (attempt.status, attempt.usage and attempt.usage.completion_tokens) == ("settled", 1)


@every_stream
async def test_a_stream_that_breaks_keeps_what_came(door: Door) -> None:
    async with BillServer(Answer("one two three", cut_after=2)) as server:
        with pytest.raises(StreamInterrupted) as broken:
            await through(door, server, passing_on)
        assert broken.value.partial is not None
        assert broken.value.partial.text == "one two"


@pytest.mark.parametrize("where", ["before", "inside", "after"])
async def test_a_cancellation_anywhere_is_booked(where: str) -> None:
    reached = asyncio.Event()

    async def slow(request: Request, call_next: CallNext) -> Response:
        if where == "before":
            reached.set()
            await asyncio.sleep(60)
        response = await call_next(request)
        reached.set()
        if where == "after":
            await asyncio.sleep(60)
        return response

    ledger = Ledger.open("memory:")
    async with (
        BillServer(Answer("Yes.", hold=60.0 if where == "inside" else 0.0)) as server,
        AsyncClient(**settings(server, ledger=ledger, middleware=[slow])) as client,
    ):
        task = asyncio.create_task(client.chat("Why?", max_tokens=50))
        await (server.until(lambda bill: bool(bill.bill.lines)) if where == "inside" else reached.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_quiet()
        [attempt] = ledger.attempts()
        assert attempt.status == {"before": "released", "inside": "unknown", "after": "settled"}[where]


@every_door
async def test_errors_of_the_endpoint_stay_typed(door: Door) -> None:
    async with BillServer(Failure(500, "broken")) as server:
        with pytest.raises(ServerError, match="broken") as failed:
            await through(door, server, passing_on, max_retries=0)
        assert failed.value.attempt_ids
    with pytest.raises(ConnectionFailed, match="no connection"):
        await ask(door, "http://127.0.0.1:1/v1", "Why?", max_retries=0, client={"middleware": [passing_on]})
