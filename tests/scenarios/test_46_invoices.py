"""46. An invoice file is read right or refused: usual exports, number formats, sums, currencies, and the period."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.reports import Invoice, invoice_total, read_invoice, reconcile
from tests.support.bill_server import BillServer
from tests.support.doors import settings

Charge = tuple[datetime, Decimal]
"""When, and how much."""
Writer = Callable[[list[Charge]], bytes]


def table(header: str, rows: list[list[str]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([header.split(","), *rows])
    return out.getvalue().encode(encoding)


def openrouter(charges: list[Charge]) -> bytes:
    header = "generation_id,created_at,cost_total,cost_cache,byok_usage_inference,tokens_prompt,tokens_completion"
    rows = [
        [f"gen-{number}", f"{at:%Y-%m-%d %H:%M:%S}.040", repr(float(amount)), "3", "7", "2000", "500"]
        for number, (at, amount) in enumerate(charges)
    ]
    return table(header, rows)


def openai(charges: list[Charge]) -> bytes:
    header = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id"
    rows = []
    for at, amount in charges:
        end = at + timedelta(seconds=1)
        rows.append(
            [
                f"{at.timestamp():.0f}",
                f"{end.timestamp():.0f}",
                at.isoformat(),
                end.isoformat(),
                f"{amount:.30f}",
                "usd",
                "",
                "",
            ]
        )
    return table(header, [*rows, [*rows[0][:4], "", "", "", ""]])  # a day without spend has an empty row


def focus(charges: list[Charge]) -> bytes:
    header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,EffectiveCost,ListCost"
    return gzip.compress(
        table(header, [[f"{amount:f}", "USD", at.isoformat(), "", "9", "9"] for at, amount in charges])
    )


def aws(charges: list[Charge]) -> bytes:
    header = "identity/LineItemId,lineItem/UsageStartDate,lineItem/UnblendedCost,lineItem/CurrencyCode"
    rows = [
        [str(number), f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{amount:E}", "USD"] for number, (at, amount) in enumerate(charges)
    ]
    return table(header, rows)


def deepseek(charges: list[Charge]) -> bytes:
    """The archive with both files, whose amounts of tokens are no money."""
    cost = [["u", at.isoformat(), "", "deepseek-chat", "Paid", f"{amount:.16f}", "USD"] for at, amount in charges]
    counts = [["u", at.isoformat(), "", "deepseek-chat", "output_tokens", "0.00000168", "500"] for at, _ in charges]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        header = "user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency"
        archive.writestr("cost-2026-10.csv", table(header, cost, encoding="utf-8-sig"))
        header = "user_id,start_time_iso,end_time_iso,model,type,price,amount"
        archive.writestr("amount-2026-10.csv", table(header, counts, encoding="utf-8-sig"))
    return out.getvalue()


def german(charges: list[Charge]) -> bytes:
    rows = [[f"{at:%d.%m.%Y %H:%M:%S}", f"{amount:f} $".replace(".", ",")] for at, amount in charges]
    whole = sum((amount for _, amount in charges), Decimal(0))
    return table("Datum,Kosten", [*rows, ["Summe", f"{whole:f} $".replace(".", ",")]], ";", "utf-16")


def chinese(charges: list[Charge]) -> bytes:
    rows = [[f"{at:%Y年%m月%d日 %H:%M:%S}", "模型调用", f"{amount:f}"] for at, amount in charges]
    whole = sum((amount for _, amount in charges), Decimal(0))
    return table("时间,产品,费用（美元）", [*rows, ["合计", "", f"{whole:f}"]], encoding="gb18030")


WRITERS: list[Writer] = [openrouter, openai, focus, aws, deepseek, german, chinese]


@pytest.mark.parametrize("write", WRITERS)
async def test_the_bill_in_any_usual_form_agrees_with_the_ledger(tmp_path: Path, write: Writer) -> None:
    ledger = Ledger.open()
    async with BillServer() as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        for _ in range(3):
            await client.chat("What is the capital of France?", max_tokens=50)
        bill = server.bill.total
    attempts = ledger.attempts()
    starts = [attempt.started_at.replace(microsecond=0) for attempt in attempts]
    since, until = starts[0], starts[-1] + timedelta(seconds=1)
    charges = [(at, attempt.cost.amount) for at, attempt in zip(starts, attempts, strict=True)]
    strange = [(since - timedelta(days=1), Decimal(5)), (until + timedelta(days=1), Decimal(7))]
    path = tmp_path / "invoice"
    path.write_bytes(write([strange[0], *charges, strange[1]]))
    found: Invoice = read_invoice(path, currency="USD", since=since, until=until)
    assert found.total.amount == bill > 0
    assert found.outside == 2
    compared = reconcile(ledger, host=attempts[0].host, since=since, until=until, billed=found.total)
    assert (compared.verdict, compared.drift.pico) == ("agrees", 0)
    ledger.close()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("date,cost,currency\n2026-10-01,12.50,EUR\n", "line 2"),
        ("date,cost,currency\n2026-10-01,12.50,CNY\n", "line 2"),
        ("date,cost,currency\n2026-10-01,12.50,USD\n2026-10-02,lots,USD\n", "line 3"),
        ("date,cost,currency\n2026-10-01,1,234.50,USD\n", "line 2"),
        ('date,cost,currency\n2026-10-01,"1,234",USD\n', "line 2"),
        ("date,cost,currency\n10/09/2026,5,USD\n", "line 2"),
        ("date,cost,currency\n2026-10-01,5,USD\n,3,USD\n", "line 3"),
        ("date,model,prompt_tokens,completion_tokens\n2026-10-01,nobody/knows,1000,1000\n", "line 2"),
        ("model,type,price,amount\nm,output_tokens,0.000002,210500\n", "dates"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_with_its_place(text: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=wrong):
        invoice_total(text, currency="USD", since=datetime(2026, 10, 1, tzinfo=UTC), host="deepseek")


def test_tokens_are_priced_and_never_money() -> None:
    rows = [["2026-10-01", "m", "output_tokens", "0.000002", "210500"], ["2026-10-01", "m", "request_count", "", "640"]]
    counts = table("utc_date,model,type,price,amount", rows)
    assert invoice_total(counts, currency="CNY").amount == Decimal("0.421")
