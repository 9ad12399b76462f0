"""Exports in other programs: spreadsheets that run formulas, databases that add up."""

from __future__ import annotations

import codecs
import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepthrift_pricing import Ledger, Usage
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.reports import COLUMNS, export, read_export
from deepthrift_pricing.reports._cells import defuse, restore
from tests.pricing.ledgers import NOON, cost, wanted
from tests.pricing.reports.books import DAY, open_books

NASTY = st.text(st.sampled_from("=+-@|%'\" \t\r\n;,a1\u200b\ufeff＝＋－＠−é中"), max_size=12)
TEXT = NASTY | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBERS = {"reserved", "http_status"} | {name for name in COLUMNS if name.startswith("cost") or name.endswith("tokens")}
INVISIBLE = " \t\r\n\"'\u200b\ufeff"


def runs(cell: str) -> bool:
    """Whether a spreadsheet that strips what it does not show would run the cell as a formula."""
    shown = cell.lstrip(INVISIBLE.replace("'", ""))
    return shown.startswith(tuple("=+-@＝＋－＠")) or cell.startswith(("\t", "\r"))


def book(ledger: Ledger, model: str, finish: str = "stop", tags: dict[str, str] | None = None) -> None:
    attempt = ledger.try_reserve(wanted("1", model=model, tags=tags))
    ledger.settle(attempt.id, usage=Usage.of(10, 1), cost=cost(), ended_at=NOON, finish_reason=finish)


@settings(deadline=None)
@given(TEXT)
def test_a_defused_text_runs_nowhere_and_comes_back(text: str) -> None:
    defused = defuse(text)
    assert restore(defused) == text
    assert not runs(defused)
    for separator in ";\t\r\n":  # a spreadsheet with another separator splits the line there
        assert not any(part.lstrip(" ").startswith(tuple("=+-@")) for part in defused.split(separator))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=TEXT.filter(bool), finish=TEXT.filter(bool), tag=TEXT, excel=st.booleans())
def test_no_cell_of_an_export_runs_and_all_come_back(
    tmp_path: Path, model: str, finish: str, tag: str, excel: bool
) -> None:
    path = tmp_path / "attempts.csv"
    with Ledger.open() as ledger:
        book(ledger, model, finish, {tag: tag})
        assert export(ledger, path, excel=excel) == 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert not any(runs(cell) for name, cell in row.items() if name not in NUMBERS)
    assert Decimal(row["cost"]) == Decimal("0.00120736")
    [back] = read_export(path)
    assert (back["model"], back["finish_reason"]) == (model, finish)
    assert json.loads(str(back["tags"])) == {tag: tag}
    assert (back["cost"], back["prompt_tokens"], back["http_status"]) == ("0.00120736", 10, None)


def test_a_model_whose_name_begins_with_a_sign_is_itself_again(tmp_path: Path) -> None:
    path = tmp_path / "attempts.csv"
    with Ledger.open() as ledger:
        book(ledger, "@cf/vendor/model")
        export(ledger, path)
    assert "'@cf/vendor/model" in path.read_text("utf-8")
    assert [row["model"] for row in read_export(path)] == ["@cf/vendor/model"]


def test_excel_gets_a_mark_and_others_none(tmp_path: Path) -> None:
    path = tmp_path / "attempts.csv"
    with Ledger.open() as ledger:
        book(ledger, "模型")
        export(ledger, path)
        assert not path.read_bytes().startswith(codecs.BOM_UTF8)
        export(ledger, path, excel=True)
        assert path.read_bytes().startswith(codecs.BOM_UTF8)
        with pytest.raises(ConfigurationError, match="one of CSV"):
            export(ledger, tmp_path / "attempts.jsonl", excel=True)
    assert [row["model"] for row in read_export(path)] == ["模型"]


def test_what_is_no_export_is_not_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="not an export"):
        list(read_export(path))


def test_databases_add_up_amounts_and_truncate_moments(tmp_path: Path) -> None:
    import duckdb

    books = open_books()
    for _ in range(3):
        books.book(Usage.of(2000, 500, cache_hit=1536, reasoning=300))
    books.book(None, status="unknown")
    path = tmp_path / "attempts.parquet"
    assert export(books.ledger, path) == 4
    [spent] = books.ledger.spend(by=())
    books.ledger.close()
    with duckdb.connect() as database:
        totals = "SELECT SUM(cost), SUM(prompt_tokens), typeof(SUM(cost)) FROM read_parquet(?)"
        assert database.execute(totals, [str(path)]).fetchall() == [(spent.total.amount, 6000, "DECIMAL(38,12)")]
        days = "SELECT date_trunc('day', started_at)::DATE, COUNT(*) FROM read_parquet(?) GROUP BY 1"
        assert database.execute(days, [str(path)]).fetchall() == [(DAY.date(), 4)]


def test_polars_adds_up_amounts_and_truncates_moments(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    books = open_books()
    books.book(Usage.of(2000, 500))
    path = tmp_path / "attempts.parquet"
    export(books.ledger, path)
    [spent] = books.ledger.spend(by=())
    books.ledger.close()
    frame = polars.read_parquet(path)
    assert frame["cost"].sum() == spent.total.amount
    assert frame["started_at"].dt.truncate("1d").to_list() == [datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_empty_ledger_makes_an_empty_table(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"attempts.{kind}"
    with Ledger.open() as ledger:
        assert export(ledger, path) == 0
    if kind == "parquet":
        import pyarrow.parquet

        assert pyarrow.parquet.read_table(path).column_names == list(COLUMNS)
    else:
        assert list(read_export(path)) == []


def test_attempts_of_one_moment_are_all_read_over_the_end_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepthrift_pricing._ledger.rows import pages as _pages

    monkeypatch.setattr(_pages, "_PAGE", 3)
    books = open_books()
    for number in range(10):
        books.book(Usage.of(10, 1))
        if number < 7:
            books.now = DAY  # the same moment again and again
    wanted_ids = [attempt.id for attempt in books.ledger.attempts()]
    assert [attempt.id for attempt in books.ledger.iter_attempts()] == wanted_ids
    until = DAY + timedelta(seconds=2)
    some = [attempt.id for attempt in books.ledger.attempts() if attempt.started_at < until]
    assert [attempt.id for attempt in books.ledger.iter_attempts(until=until)] == some
    assert 0 < len(some) < 10
    books.ledger.close()
