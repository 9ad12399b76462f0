"""27. A call under way while the window of its budget turns over settles in the window that reserved it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, REFERENCE_COST, Door, ask, every_door
from tests.support.waiting import until


@every_door
@pytest.mark.parametrize("anchor", [datetime(2026, 1, 1), None], ids=["calendar", "rolling"])  # noqa: DTZ001
async def test_the_new_window_starts_empty_and_never_below_zero(door: Door, anchor: datetime | None) -> None:
    """The answer takes longer than the window, so it always turns over on the way."""
    ledger = Ledger.open("memory:", budgets=[Budget("0.002", per=timedelta(seconds=0.4), anchor=anchor)])
    async with BillServer([REFERENCE.but(delay=0.5), REFERENCE]) as server:
        before = datetime.now(UTC)
        reply = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
        await until(lambda: (start := ledger.budget_status()[0].window_start) is not None and start > before)
        [status] = ledger.budget_status()
        assert status.spent.amount == 0
        assert not status.reserved
        assert status.left == status.limit
        again = await ask(door, server, mode="thinking", max_tokens=500, client={"ledger": ledger})
    assert reply.cost.amount == again.cost.amount == REFERENCE_COST
    assert server.bill.total == REFERENCE_COST * 2
    ledger.close()
