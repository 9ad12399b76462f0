"""The provider's figure beside the ledger's, and attempts as files."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Money, Usage
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.reports import COLUMNS, Balance, export, invoice_total, reconcile, reconcile_balances
from tests.pricing.reports.books import DAY, Books, open_books

USAGE = Usage.of(1_000_000, 0)  # 0.28 USD at the brief's prices


def month(books: Books, billed: str) -> str:
    result = reconcile(books.ledger, host="vllm", since=DAY, until=DAY + timedelta(days=30), billed=Money.of(billed))
    return result.verdict


def test_a_drift_above_one_percent_is_flagged_unless_the_unknown_explain_it() -> None:
    books = open_books()
    for _ in range(100):
        books.book(USAGE)
    assert month(books, "28") == "agrees"
    assert month(books, "28.2") == "agrees"
    assert month(books, "28.5") == "drifts"
    assert month(books, "27.5") == "drifts"
    for _ in range(1000):
        books.book(None, status="unknown")  # 0.00098 USD each
    assert month(books, "28") == "explained"
    assert month(books, "28.98") == "agrees"
    assert month(books, "27.5") == "drifts"
    books.ledger.close()


def test_balances_are_compared_with_what_was_paid_in() -> None:
    books = open_books()
    books.book(USAGE)
    before = Balance(at=DAY, amount=Money.of("110.00"))
    after = Balance(at=DAY + timedelta(hours=1), amount=Money.of("119.60"))
    result = reconcile_balances(books.ledger, host="vllm", before=before, after=after, topped_up=Money.of("10"))
    assert result.billed == Money.of("0.4")
    assert result.drift == Money.of("0.12")
    assert result.drift_share == Decimal("0.3")
    assert result.verdict == "drifts"
    with pytest.raises(ConfigurationError, match="after the first"):
        reconcile_balances(books.ledger, host="vllm", before=after, after=before)
    books.ledger.close()


def test_invoices_are_read_by_their_column_of_amounts() -> None:
    assert invoice_total('\ufeffDate,Cost,Currency\n2025-09-10,$1.50,USD\n,,\n2025-09-11,"1,000.25",usd\n') == (
        Money.of("1001.75")
    )
    assert invoice_total("day,fee\n1,3.5\n", currency="CNY") == Money.of("3.5", "CNY")
    assert invoice_total("day,billed\n1,2\n", currency="USD", column="Billed") == Money.of("2")
    for text, told in (
        ("a,b\n1,2\n", "no column of amounts"),
        ("cost\n1\n", "currency"),
        ("cost,currency\nx,USD\n", "line 2: 'x' is not an amount"),
        ("cost,currency\n1,USD\n2,CNY\n", "mixes currencies"),
        ("", "empty"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            invoice_total(text)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_exports_hold_every_attempt_exactly(tmp_path: Path, kind: str) -> None:
    books = open_books()
    books.book(Usage.of(2000, 500, cache_hit=1536, reasoning=300), tags={"team": 'é,\n"x"'})
    books.book(None, status="unknown")
    path = tmp_path / f"attempts.{kind}"
    assert export(books.ledger, path) == 2
    if kind == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    elif kind == "jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    else:
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(path).to_pylist()
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["cost"] == (Decimal("0.000382928") if kind == "parquet" else "0.000382928")
    assert int(rows[0]["cache_miss_tokens"]) == 464
    assert json.loads(rows[0]["tags"]) == {"team": 'é,\n"x"'}
    assert rows[1]["status"] == "unknown"
    assert not rows[1]["prompt_tokens"]
    books.ledger.close()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    books = open_books()
    with pytest.raises(ConfigurationError, match="no format"):
        export(books.ledger, tmp_path / "attempts.xml")
    assert export(books.ledger, tmp_path / "attempts.xml", format="csv") == 0
    books.ledger.close()
