"""24. Two modes at one price stay distinct, and spend is reported for each."""

from __future__ import annotations

from pathlib import Path

from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import MODEL, REFERENCE, Door, ask, every_door


@every_door
async def test_spend_is_reported_by_mode(door: Door, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    async with BillServer(REFERENCE) as server:
        with Ledger.open(url) as ledger:
            for mode in ("standard", "thinking", "thinking"):
                await ask(door, server, mode=mode, max_tokens=500, client={"ledger": ledger})
    with Ledger.open(url) as ledger:
        rows = {row.key["mode"]: row for row in ledger.spend(by=("mode",))}
        assert set(rows) == {"standard", "thinking"}
        assert rows["standard"].total.amount == server.bill.by_mode("standard") > 0
        assert rows["thinking"].total.amount == server.bill.by_mode("thinking") > 0
        assert rows["standard"].reasoning_tokens == 0
        assert rows["thinking"].reasoning_tokens == 600
        [both] = ledger.spend(by=("model", "host"))
        assert both.total.amount == server.bill.total
        assert both.key == {"model": MODEL, "host": "vllm"}
