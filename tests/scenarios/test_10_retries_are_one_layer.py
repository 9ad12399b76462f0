"""10. Two refusals and a success are one paid call; `Retry-After` is honoured; nothing multiplies the retries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from deepthrift.errors import DeadlineExceeded, Overloaded, RateLimited, ServerError, StatusError
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer, Failure
from tests.support.doors import REFERENCE, REFERENCE_COST, Door, ask, booked, every_door


@every_door
async def test_two_refusals_and_a_success_book_one_paid_call(door: Door) -> None:
    ledger = Ledger.open("memory:")
    refusal = Failure(429, "slow down", retry_after="0")
    async with BillServer([refusal, refusal, REFERENCE]) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
        assert len(server.requests) == 3
    assert reply.cost.amount == booked(ledger) == server.bill.total == REFERENCE_COST
    assert [attempt.status for attempt in reply.attempts] == ["released", "released", "settled"]
    assert [attempt.http_status for attempt in reply.attempts] == [429, 429, 200]
    assert {attempt.call_id for attempt in ledger.attempts()} == {reply.call_id}
    assert len(ledger.attempts()) == 3
    ledger.close()


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_the_pause_is_as_long_as_the_endpoint_asked(form: str) -> None:
    asked = "1" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    async with BillServer([Failure(429, retry_after=asked), REFERENCE]) as server:
        await ask("async", server, max_tokens=500)
        first, second = (request.arrived_at for request in server.requests)
    assert second - first >= 1.0


@every_door
@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), (500, ServerError), (503, Overloaded)], ids=["429", "500", "503"]
)
async def test_retries_end_where_the_caller_said(door: Door, status: int, kind: type[Exception]) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(Failure(status, "busy", retry_after="0")) as server:
        with pytest.raises(kind) as failed:
            await ask(door, server, max_tokens=500, client={"ledger": ledger, "max_retries": 2})
        assert len(server.requests) == 3
    error = failed.value
    assert isinstance(error, ServerError | RateLimited)
    assert (error.status, error.retry_after) == (status, 0.0)
    assert len(error.attempt_ids) == 3
    assert {attempt.status for attempt in ledger.attempts()} == {"unknown" if status == 500 else "released"}
    ledger.close()


@every_door
async def test_no_retries_means_one_request(door: Door) -> None:
    async with BillServer(Failure(429, retry_after="0")) as server:
        with pytest.raises(RateLimited):
            await ask(door, server, max_tokens=500, client={"max_retries": 0})
        assert len(server.requests) == 1


@every_door
async def test_a_pause_beyond_the_deadline_is_not_slept(door: Door) -> None:
    """The endpoint asks for an hour, the caller has two minutes: the error comes now and says what was asked."""
    async with BillServer(Failure(429, retry_after="3600")) as server:
        with pytest.raises((RateLimited, DeadlineExceeded)):
            await ask(door, server, max_tokens=500, deadline=120.0)
        assert len(server.requests) == 1


@every_door
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_a_second_try_cannot_mend_is_tried_once(door: Door, status: int) -> None:
    async with BillServer(Failure(status, "no")) as server:
        with pytest.raises(StatusError) as refused:
            await ask(door, server, max_tokens=500)
        assert len(server.requests) == 1
    assert refused.value.status == status
