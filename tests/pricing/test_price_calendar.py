"""Holiday calendars in price rows: what is said before they end, and how sure a price is afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from deepthrift_pricing import Price, PriceBook, Usage

PEAK = {"daily": ("01:00", "04:00"), "weekdays": (1, 2, 3, 4, 5), "except_dates": ("2027-01-01",)}


def row(id: str, **fields: object) -> Price:
    usual = {"host": "h", "checked": "2026-12-01", "cache_miss": "1", "completion": "1"}
    return Price.model_validate({"id": id, **usual, **fields})


def test_one_entry_for_each_calendar_and_not_for_each_row() -> None:
    book = PriceBook(
        [row("low"), row("a", **PEAK), row("b", **PEAK), row("c", **{**PEAK, "holidays_until": "2027-12-31"})]
    )
    assert book.ending_calendars(date(2026, 11, 1)) == ()
    [soon] = book.ending_calendars(date(2026, 12, 1))
    assert (soon.until, soon.price_ids, soon.ended) == (date(2027, 1, 1), ("a", "b"), False)
    assert "the holiday calendar of h ends on 2027-01-01." in str(soon)
    assert "(2 price rows)" in str(soon)
    [over] = book.ending_calendars(date(2027, 1, 2))
    assert over.ended
    assert "ended on 2027-01-01" in str(over)


def test_a_row_that_ends_before_its_calendar_needs_no_word() -> None:
    ended = row("old", **PEAK, valid_to=datetime(2026, 12, 15, tzinfo=UTC))
    assert PriceBook([ended]).ending_calendars(date(2026, 12, 1)) == ()


@pytest.mark.parametrize(
    ("moment", "amount", "certainty"),
    [
        ("2026-12-31T02:00", "2", "exact"),
        ("2027-01-01T02:00", "1", "exact"),  # a holiday
        ("2027-01-04T02:00", "2", "estimated"),  # it may be one, too
        ("2027-01-04T05:00", "1", "exact"),  # no peak hour on any day
    ],
)
def test_after_its_end_a_peak_price_is_an_upper_bound(moment: str, amount: str, certainty: str) -> None:
    book = PriceBook([row("low"), row("high", **PEAK, **{"cache_miss": "2"})])
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    cost = book.cost(Usage.of(1_000_000, 0), host="h", model="m", mode="standard", started_at=at)
    assert (cost.amount, cost.certainty) == (Decimal(amount), certainty)
