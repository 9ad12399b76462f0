"""5. In sequence, the call that would cross the budget is refused before it is sent."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, REFERENCE_WORST, Door, ask, booked, every_door


@every_door
async def test_the_call_that_would_cross_the_budget_is_not_sent(door: Door, tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'spend.db'}", budgets=[Budget("0.005", per="day")])
    client = {"ledger": ledger}
    async with BillServer(REFERENCE) as server:
        for _ in range(3):
            await ask(door, server, mode="thinking", max_tokens=500, client=client)
        with pytest.raises(BudgetExceeded) as refused:
            await ask(door, server, mode="thinking", max_tokens=500, client=client)
        assert len(server.requests) == 3
        assert refused.value.needed is not None
        assert refused.value.needed.amount == REFERENCE_WORST
        assert refused.value.status is not None
        assert refused.value.status.spent.amount == REFERENCE_COST * 3
        assert refused.value.status.limit.amount == Decimal("0.005")
        assert refused.value.request is not None

        smaller = await ask(door, server, "Hello?", mode="standard", max_tokens=20, client=client)
        assert smaller.finish_reason == "length"
    assert booked(ledger) == server.bill.total <= Decimal("0.005")
    ledger.close()


@every_door
async def test_a_call_that_fits_to_the_last_digit_is_sent(door: Door) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget(str(REFERENCE_WORST), per="call")])
    tight = Ledger.open("memory:", budgets=[Budget("0.001959999999", per="call")])
    async with BillServer(REFERENCE) as server:
        await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
        with pytest.raises(BudgetExceeded):
            await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": tight})
        assert len(server.requests) == 1
    assert not tight.attempts()
    ledger.close()
    tight.close()


@every_door
async def test_a_budget_outlives_the_program_that_spent_it(door: Door, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    budgets = [Budget("0.003", per="total")]
    async with BillServer(REFERENCE) as server:
        with Ledger.open(url, budgets=budgets) as first:
            await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": first})
        with Ledger.open(url, budgets=budgets) as second:
            with pytest.raises(BudgetExceeded):
                await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": second})
            assert second.budget_status()[0].spent.amount == REFERENCE_COST
        assert len(server.requests) == 1


@every_door
async def test_a_budget_for_one_tag_leaves_the_others_alone(door: Door) -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.001", per="total", tags={"team": "search"})])
    async with BillServer(REFERENCE) as server:
        with pytest.raises(BudgetExceeded):
            await ask(door, server, max_tokens=500, tags={"team": "search"}, client={"ledger": ledger})
        assert not server.requests
        await ask(door, server, max_tokens=500, tags={"team": "ads"}, client={"ledger": ledger})
        assert len(server.requests) == 1
    ledger.close()
