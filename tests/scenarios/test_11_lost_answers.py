"""11. An answer that is lost after the provider billed it stays booked as "unknown", never as zero."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import AttemptTimeout, ConnectionFailed, DeepthriftError
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Behaviour, BillServer, Drop, Failure, RawBody
from tests.support.doors import PROMPT, REFERENCE, REFERENCE_WORST, Door, ask, booked, every_door, settings
from tests.support.ports import dead_port
from tests.support.waiting import LIMITS

LOST: dict[str, Behaviour] = {
    "dropped": Drop(billed=REFERENCE),
    "dropped after the headers": Drop(billed=REFERENCE, after="headers"),
    "empty": RawBody(b"", billed=REFERENCE),
    "blank lines": RawBody(b"\n\n  \n", billed=REFERENCE),
    "not JSON": RawBody(b'{"id": "chat', billed=REFERENCE),
    "another protocol": RawBody(b'{"hello": "world"}', billed=REFERENCE),
    "a web page": RawBody(b"<html>welcome</html>", content_type="text/html", billed=REFERENCE),
    "a list": RawBody(b"[1, 2]", billed=REFERENCE),
}


@every_door
@pytest.mark.parametrize("how", LOST)
async def test_a_lost_answer_is_booked_at_its_worst_case(door: Door, how: str, tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'spend.db'}")
    async with BillServer(LOST[how]) as server:
        with pytest.raises(DeepthriftError) as lost:
            await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger, "max_retries": 1})
        await server.wait_quiet()
    attempts = ledger.attempts()
    assert len(attempts) == len(server.requests) >= 1
    for attempt in attempts:
        assert attempt.cost.certainty != "exact"
        assert attempt.cost.amount > 0
    assert booked(ledger) >= server.bill.total > 0
    assert lost.value.spend is not None
    assert lost.value.spend.amount == booked(ledger)
    assert set(lost.value.attempt_ids) == {attempt.id for attempt in attempts}
    ledger.close()


@every_door
async def test_a_time_out_is_booked_and_not_tried_again(door: Door) -> None:
    billed_but_silent = REFERENCE.but(hold=600.0) if "stream" not in door else REFERENCE.but(stall_after=0)
    for limit in LIMITS:
        ledger = Ledger.open("memory:")
        async with BillServer(billed_but_silent) as server:
            with pytest.raises(AttemptTimeout):
                await ask(door, server, mode="thinking", max_tokens=500, timeout=limit, client={"ledger": ledger})
            await server.wait_quiet()
        if server.bill.total:
            break
        ledger.close()  # the machine was too busy to have it billed within the limit
    else:
        pytest.fail("the request never got as far as the bill")
    assert len(server.requests) == 1
    assert server.requests[0].disconnected
    [attempt] = ledger.attempts()
    assert attempt.cost.certainty != "exact"
    assert attempt.cost.amount >= server.bill.total > 0
    ledger.close()


async def test_a_cancelled_wait_for_an_answer_is_booked() -> None:
    ledger = Ledger.open("memory:")
    async with (
        BillServer(REFERENCE.but(hold=60.0)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        task = asyncio.create_task(client.chat(PROMPT, mode="thinking", max_tokens=500))
        await server.until(lambda s: len(s.bill) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await server.wait_quiet()
    [attempt] = ledger.attempts()
    assert attempt.status == "unknown"
    assert attempt.cost.amount == REFERENCE_WORST >= server.bill.total > 0
    ledger.close()


async def test_what_may_have_been_spent_counts_against_the_budget() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.003", per="total")])
    async with BillServer([Drop(billed=REFERENCE), REFERENCE]) as server:
        options = {"ledger": ledger, "max_retries": 0}
        with pytest.raises(DeepthriftError):
            await ask("async", server, mode="thinking", max_tokens=500, client=options)
        with pytest.raises(DeepthriftError, match="budget"):
            await ask("async", server, mode="thinking", max_tokens=500, client=options)
        assert len(server.requests) == 1
    assert ledger.budget_status()[0].spent.amount == REFERENCE_WORST
    ledger.close()


@every_door
async def test_what_never_reached_the_provider_is_not_booked(door: Door) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.01", per="total")])
    with pytest.raises(ConnectionFailed) as failed:
        await ask(door, f"http://127.0.0.1:{dead_port()}/v1", max_tokens=500, client={"ledger": ledger})
    assert booked(ledger) == 0
    assert not failed.value.spend
    assert not ledger.budget_status()[0].reserved
    ledger.close()


@every_door
async def test_a_refusal_is_not_booked_but_a_later_success_is(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer([Failure(503, "busy", retry_after="0"), REFERENCE]) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
    assert reply.cost.amount == booked(ledger) == server.bill.total
    ledger.close()
