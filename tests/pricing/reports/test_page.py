"""The report page as text: complete, self-contained, exact, and safe whatever stands in the ledger."""

from __future__ import annotations

import html
import re
import stat
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger, Money, PriceBook
from deepthrift_pricing.reports import Report
from deepthrift_pricing.reports.page import report_page, write_page
from deepthrift_pricing.reports.page._html import money
from tests.support.traffic import HOSTILE, PRICES, START, Traffic

COMPARE = PriceBook.named("comparison").rows
VOID = {"meta", "link", "path", "br", "use", "rect"}


@pytest.fixture(scope="module")
def traffic() -> Iterator[Traffic]:
    made = Traffic()
    made.answers(60, unknown_every=25)
    yield made
    made.ledger.close()


@pytest.fixture(scope="module")
def page(traffic: Traffic) -> str:
    return report_page(traffic.ledger, until=traffic.now, prices=PRICES, compare=COMPARE)


class Outline(HTMLParser):
    """Checks that tags are balanced and ids are unique."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_it_is_well_formed_and_needs_nothing_else(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert "script" not in outline.tags
    loaded = re.findall(r'(?:src|href|action|data)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert loaded
    assert all(link.startswith(("#", "data:,")) for link in loaded)
    assert "@import" not in page


def test_names_in_the_ledger_cannot_become_markup(page: str) -> None:
    assert html.escape(HOSTILE) in page
    assert HOSTILE not in page


def test_its_sums_are_the_reports(traffic: Traffic, page: str) -> None:
    report = Report.of(traffic.ledger, until=traffic.now, prices=PRICES, compare=COMPARE)
    for row in (*report.by_mode, *report.by_model, *report.by_host, *report.by_tag["team"]):
        assert f">{money(row.total)}<" in page
    assert f">{money(report.total)}<" in page
    assert f"{money(report.unknown)} of it is held at the worst case" in page
    for other in report.counterfactuals:
        assert other.reason in html.unescape(page)
        if other.cost is not None:
            assert f">{money(other.cost)}<" in page
    for price in report.price_ids:
        assert price in page


def test_colours_are_the_pages_own(page: str) -> None:
    """So that dark mode and print can change them; none of the placeholders is left."""
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.S))
    assert drawn.count("<svg") == 10  # five figures, for a desk and for a phone
    assert "var(--thinking)" in drawn
    assert not re.search(r"#0\d0\d0\d\b", drawn)
    assert set(re.findall(r"fill: (#[0-9a-f]{6})", drawn)) <= {"#000000", "#ffffff"}


@pytest.mark.parametrize(("amount", "said"), [
    ("0", "$0.00"), ("12.5", "$12.50"), ("0.00120736", "$0.00120736"), ("-3", "-$3.00"), ("1234.5678", "$1,234.5678"),
])  # fmt: skip
def test_amounts_are_told_exactly(amount: str, said: str) -> None:
    assert money(Money.of(amount)) == said


def test_an_empty_ledger_has_a_page(tmp_path: Path) -> None:
    with Ledger.open() as ledger:
        page = report_page(ledger)
    assert "Nothing was spent in this time." in page
    write_page(page, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == page
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_a_short_time_is_told_by_the_hour_and_a_long_one_by_the_month(traffic: Traffic) -> None:
    hours = report_page(traffic.ledger, since=START, until=START + timedelta(hours=30), prices=PRICES)
    assert "Spend by hour" in hours
    assert "2025-09-10 05:00" in hours
    months = report_page(traffic.ledger, since=START - timedelta(days=300), until=traffic.now, prices=PRICES)
    assert "Spend by month" in months


def test_what_escalations_bought_comes_from_outside(traffic: Traffic) -> None:
    said = "Audits of 40 answers: 12 points more of them right."
    assert said in report_page(traffic.ledger, until=traffic.now, prices=PRICES, remarks=[said])
