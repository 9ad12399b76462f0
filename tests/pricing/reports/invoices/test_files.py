"""Invoices in archives, in other encodings and in Parquet; and files that were made to do harm."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Money
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.reports import invoice_total, read_invoice
from deepthrift_pricing.reports.invoices._files import unpack as _unpack
from tests.pricing.reports.invoices.test_layouts import AWS, AWS_2, DEEPSEEK_AMOUNT, DEEPSEEK_COST, FOCUS

TABLE = "date,cost,currency\n2026-10-01,10.00,USD\n2026-10-02,2.50,USD\n"
TOTAL = Money.of("12.5")


def zipped(**files: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
@pytest.mark.parametrize(
    "text", [TABLE, "日期,金额（美元）,备注\n2026年10月1日,10.00,模型调用费用\n2026年10月2日,2.50,其他\n合计,12.50,\n"]
)
def test_text_in_any_usual_encoding_is_read(text: str, encoding: str) -> None:
    assert invoice_total(text.encode(encoding)) == TOTAL


def test_text_of_old_windows_programs_is_read_with_a_note() -> None:
    text = "Datum;Kosten;Währung;Größe\n01.10.2026;10,00;USD;größer\n02.10.2026;2,50;USD;é\n"
    found = read_invoice(text.encode("cp1252"))
    assert found.total == TOTAL
    assert any("cp1252" in note for note in found.notes)
    with pytest.raises(ConfigurationError, match="'EUR' is no currency"):
        invoice_total("Datum;Kosten (€)\n01.10.2026;10,00\n".encode("cp1252"))


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "invoice.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode(), mtime=0))
    assert invoice_total(path) == TOTAL
    with pytest.raises(FileNotFoundError):
        invoice_total(tmp_path / "none.csv")


def test_deepseeks_zip_is_read_by_its_costs() -> None:
    found = read_invoice(zipped(**{"cost-2026-10.csv": DEEPSEEK_COST, "amount-2026-10.csv": DEEPSEEK_AMOUNT}))
    assert found.total == Money.of("16", "CNY")
    assert found.layout == "DeepSeek cost"
    assert any("amount-2026-10.csv holds numbers of tokens" in note for note in found.notes)
    alone = read_invoice(zipped(**{"amount-2026-10.csv": DEEPSEEK_AMOUNT}), currency="CNY")
    assert alone.total == Money.of("2.85", "CNY")


def test_two_exports_of_the_same_days_are_not_added_up() -> None:
    other = DEEPSEEK_COST.replace("1.25", "1.26")
    with pytest.raises(ConfigurationError, match="cover the same days"):
        read_invoice(zipped(**{"cost-2026-10.csv": DEEPSEEK_COST, "cost-2026-10-01_2026-10-31.csv": other}))
    found = read_invoice(zipped(**{"cost-2026-10.csv": DEEPSEEK_COST, "copy/cost-2026-10.csv": DEEPSEEK_COST}))
    assert found.total == Money.of("16", "CNY")
    assert any("is the same as" in note for note in found.notes)
    later = (
        DEEPSEEK_COST.replace("2026-09-30", "2026-12-01").replace("20261001", "20261202").replace("-10-31", "-12-03")
    )
    later = later.replace("2026-11-01", "2026-12-04")
    assert invoice_total(zipped(**{"a.csv": DEEPSEEK_COST, "b.csv": later})) == Money.of("32", "CNY")


def test_the_parts_of_a_report_in_one_archive_add_up() -> None:
    parts = {"r-1.csv": AWS, "r-2.csv.gz": gzip.compress(AWS.replace("0.0123", "0.0223").encode())}
    assert invoice_total(zipped(**parts, **{"manifest.json": "{}", "__MACOSX/._r-1.csv": "x"})) == Money.of("0.03")
    with pytest.raises(ConfigurationError, match="mixes currencies"):
        invoice_total(zipped(**{"a.csv": FOCUS, "b.csv": FOCUS.replace("USD", "CNY")}))
    with pytest.raises(ConfigurationError, match=r"b\.csv, line 3: 'much'"):
        invoice_total(zipped(**{"a.csv": FOCUS, "b.csv": FOCUS.replace("-0.5", "much")}))


def parquet(**columns: object) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def test_parquet_is_read_with_its_own_kinds_of_columns() -> None:
    import pyarrow

    moments = [datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]
    october = {"since": moments[0], "until": moments[1]}
    aws = parquet(
        line_item_unblended_cost=[0.0123, 9.0],
        line_item_currency_code=["USD", "USD"],
        line_item_usage_start_date=pyarrow.array(moments, pyarrow.timestamp("ms", "UTC")),
    )
    assert invoice_total(aws, **october) == Money.of("0.0123")
    focus = parquet(
        BilledCost=pyarrow.array([Decimal("0.000000012"), Decimal(9)], pyarrow.decimal128(38, 18)),
        BillingCurrency=["USD", "USD"],
        ChargePeriodStart=[date(2026, 10, 1), date(2026, 11, 1)],
    )
    assert invoice_total(zipped(**{"focus.parquet": focus}), **october) == Money.of("0.000000012")
    with pytest.raises(ConfigurationError, match="damaged Parquet"):
        invoice_total(aws[:-9])
    assert AWS_2  # the same columns as text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
        (b"(\xb5/\xfd\x00", "zstd"),
        (zipped(**{"[Content_Types].xml": "x", "xl/workbook.xml": "x"}), "an Excel workbook"),
        (zipped(**{"readme.md": "x"}), "no table"),
        (zipped(**{"a.csv": zipped(**{"b.csv": TABLE})}), "archive inside another"),
        (zipped(**{"a.csv": TABLE})[:-30], "damaged zip"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-10], "damaged"),
        (b"\x1f\x8b" + b"x" * 50, "damaged"),
        (bytes(range(0x80, 0x100)) * 9, "no text|no column"),
    ],
)
def test_other_files_are_refused_with_what_to_do(data: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        invoice_total(data)


def test_an_encrypted_zip_is_refused() -> None:
    data = bytearray(zipped(**{"a.csv": TABLE}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(ConfigurationError, match="encrypted"):
        invoice_total(bytes(data))


@pytest.mark.parametrize("kind", ["gzip", "zip", "many"])
def test_what_is_packed_is_bounded_while_it_is_unpacked(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    limit = 2**20
    monkeypatch.setattr(_unpack, "MOST_BYTES", limit)
    bomb = TABLE.encode() + b" " * (4 * limit)
    data = {
        "gzip": gzip.compress(bomb, mtime=0),
        "zip": zipped(**{"a.csv": bomb}),
        "many": zipped(**{f"{n}.csv": TABLE.encode() + b"\n" * (limit // 2) for n in range(4)}),
    }[kind]
    assert len(data) < limit // 10
    with pytest.raises(ConfigurationError, match="larger than 1 MiB unpacked"):
        invoice_total(data)


def test_an_archive_of_very_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unpack, "MOST_FILES", 3)
    with pytest.raises(ConfigurationError, match="holds 4 files"):
        invoice_total(zipped(**{f"{n}.csv": TABLE for n in range(4)}))


def test_a_table_of_very_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepthrift_pricing.reports.invoices._files import table as _table

    monkeypatch.setattr(_table, "MOST_ROWS", 2)
    with pytest.raises(ConfigurationError, match="more than 2 rows"):
        invoice_total(TABLE + "2026-10-03,1,USD\n")
