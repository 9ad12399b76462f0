"""25. A bill above what was reserved is still booked in full, and reported."""

from __future__ import annotations

from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, Door, ask, booked, every_door


@every_door
async def test_a_host_that_ignores_max_tokens_is_booked_in_full_and_reported(door: Door) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0011368", per="total")])
    async with BillServer(REFERENCE.but(obeys_max_tokens=False)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=10, client={"ledger": ledger})
    assert reply.cost.amount == booked(ledger) == server.bill.total == REFERENCE_COST
    [attempt] = reply.attempts
    assert attempt.reserved.amount < attempt.cost.amount
    assert any("reserved" in warning or "max_tokens" in warning for warning in reply.warnings), reply.warnings
    [status] = ledger.budget_status()
    assert status.spent.amount == REFERENCE_COST > status.limit.amount
    ledger.close()
