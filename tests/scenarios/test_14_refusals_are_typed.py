"""14. 401 and 402 are typed errors, never an empty answer; 402 is never retried and trips a breaker."""

from __future__ import annotations

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import (
    AuthenticationFailed,
    BadRequest,
    CircuitOpen,
    InsufficientBalance,
    NotFound,
    Overloaded,
    PermissionRefused,
    RateLimited,
    ServerError,
    StatusError,
    UnprocessableRequest,
)
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import Door, ask, booked, every_door, settings, through_async

KINDS: dict[int, type[StatusError]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    402: InsufficientBalance,
    403: PermissionRefused,
    404: NotFound,
    422: UnprocessableRequest,
    429: RateLimited,
    500: ServerError,
    503: Overloaded,
}
SHAPES = ("openai", "vllm", "siliconflow", "openrouter", "fastapi", "text", "html", "empty")
SECRET = "sk-very-secret-0123456789"


@every_door
@pytest.mark.parametrize("status", KINDS)
async def test_every_refusal_has_its_own_error(door: Door, status: int) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(Failure(status, "the reason why")) as server:
        with pytest.raises(StatusError) as refused:
            await ask(door, server, max_tokens=50, client={"ledger": ledger, "max_retries": 0, "api_key": SECRET})
        assert len(server.requests) == 1
    error = refused.value
    assert type(error) is KINDS[status]
    assert error.status == status
    assert "the reason why" in error.body
    assert "the reason why" in str(error)
    assert error.trace_id == "trace-1"
    assert error.request is not None
    [attempt] = ledger.attempts()
    assert (attempt.status, attempt.http_status) == ("unknown" if status == 500 else "released", status)
    assert booked(ledger) == (attempt.reserved.amount if status == 500 else 0)
    assert error.attempt_ids == (attempt.id,)
    assert SECRET not in f"{error!r} {error} {error.request!r} {attempt!r}"
    ledger.close()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", "text/html"])
async def test_the_message_is_found_in_every_shape_of_body(shape: str, content_type: str) -> None:
    async with BillServer(Failure(401, "wrong key", shape=shape, content_type=content_type)) as server:  # type: ignore[arg-type]
        with pytest.raises(AuthenticationFailed) as refused:
            await ask("async", server, max_tokens=50)
    if shape != "empty":
        assert "wrong key" in str(refused.value)
    assert "401" in str(refused.value) or "key" in str(refused.value)


@every_door
async def test_an_endpoint_that_echoes_the_key_does_not_leak_it(door: Door) -> None:
    async with BillServer(Failure(401, f"Incorrect API key provided: {SECRET}")) as server:
        with pytest.raises(AuthenticationFailed) as refused:
            await ask(door, server, max_tokens=50, client={"api_key": SECRET})
    assert SECRET not in f"{refused.value!r} {refused.value} {refused.value.body}"


@every_door
async def test_an_empty_balance_is_never_retried(door: Door) -> None:
    async with BillServer(Failure(402, "Insufficient Balance", retry_after="0")) as server:
        with pytest.raises(InsufficientBalance):
            await ask(door, server, max_tokens=50, client={"max_retries": 5})
        assert len(server.requests) == 1


async def test_an_empty_balance_trips_a_breaker() -> None:
    """Further calls of the client fail at once and send nothing: they could only be refused again."""
    async with (
        BillServer([Failure(402, "Insufficient Balance"), Answer()]) as server,
        AsyncClient(**settings(server)) as client,
    ):
        for _ in range(3):
            with pytest.raises(InsufficientBalance):
                await client.chat("Hello?", max_tokens=50)
        with pytest.raises(InsufficientBalance):
            await through_async(client, "Hello?", streamed=True, max_tokens=50)
        with pytest.raises(CircuitOpen, match=r"nothing was sent.*balance.*go out again in \d+ s") as refused:
            await client.chat("Hello?", max_tokens=50)
        assert refused.value.retry_after is not None
        assert refused.value.attempt_ids == ()
        assert len(server.requests) == 1


def test_an_empty_balance_trips_the_breaker_of_a_synchronous_client() -> None:
    with (
        BillServer([Failure(402, "Insufficient Balance"), Answer()]) as server,
        Client(**settings(server)) as client,
    ):
        for _ in range(3):
            with pytest.raises(InsufficientBalance):
                client.chat("Hello?", max_tokens=50)
        assert len(server.requests) == 1
