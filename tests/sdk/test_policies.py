"""Budgets that ask for less rather than for waiting: fewer tokens, or the standard mode."""

from __future__ import annotations

import pytest

from deepthrift import HostProfile
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger, PriceBook
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, REFERENCE, Door, ask, booked, every_door

ANSWER = REFERENCE.but(cache_hit=0)


@every_door
async def test_clamp_sends_what_the_budget_has_room_for(door: Door) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0015", per="total", policy="clamp")])
    async with BillServer(ANSWER) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
        [request] = server.requests
        assert request.max_tokens == 226  # (0.0015 − 0.00112) ÷ 0.00000168
        assert reply.finish_reason == "length"
        assert reply.cost.amount == booked(ledger) == server.bill.total
        assert any("226" in warning for warning in reply.warnings)
        with pytest.raises(BudgetExceeded):
            await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
        assert len(server.requests) == 1
    ledger.close()


@every_door
@pytest.mark.parametrize("host", ["vllm", "deepseek"])
async def test_downgrade_runs_in_standard_mode(door: Door, host: str) -> None:
    prices = PriceBook.flat(cache_miss="0.56", completion="1.68", thinking={"completion": "16.8"})
    ledger = Ledger.open("memory:", budgets=[Budget("0.002", per="total", policy="downgrade")])
    client = {"ledger": ledger, "prices": prices, "host": host}
    if host == "deepseek":
        client["model"] = None
    async with BillServer(ANSWER) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=500, client=client)
        [request] = server.requests
    assert (request.mode_asked, request.max_tokens) == ("standard", 500)
    assert (reply.mode, reply.requested_mode) == ("standard", "thinking")
    assert reply.reasoning is None
    assert list(reply.warnings) == [
        "a budget had no room for the thinking mode; standard mode ran, with max_tokens=500"
    ]
    [attempt] = ledger.attempts()
    assert attempt.mode == "standard"
    assert reply.cost.amount == booked(ledger) == server.bill.total
    ledger.close()


@every_door
async def test_downgrade_of_two_passes_asks_the_question_itself(door: Door) -> None:
    prices = PriceBook.flat(cache_miss="0.56", completion="1.68", thinking={"completion": "168"})
    ledger = Ledger.open("memory:", budgets=[Budget("0.003", per="total", policy="downgrade")])
    async with BillServer(ANSWER.but(prompt_tokens=20)) as server:
        client = {"ledger": ledger, "prices": prices, "host": HostProfile.named("local")}
        reply = await ask(door, server, "Capital of France?", mode="thinking", client=client)
        [request] = server.requests
    assert request.question == "Capital of France?"
    assert (reply.mode, reply.reasoning, reply.text) == ("standard", None, " the" * 96)
    assert reply.warnings
    ledger.close()


async def test_what_fits_is_sent_as_it_is() -> None:
    budgets = [Budget("1", per="total", policy="clamp"), Budget("1", per="day", policy="downgrade")]
    ledger = Ledger.open("memory:", budgets=budgets)
    async with BillServer(ANSWER) as server:
        reply = await ask("async", server, PROMPT, mode="thinking", max_tokens=500, client={"ledger": ledger})
    assert (server.requests[0].max_tokens, server.requests[0].mode_asked) == (500, "thinking")
    assert not reply.warnings
    ledger.close()
