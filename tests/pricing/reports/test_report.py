"""A report adds up, and says of every other way what it would have cost, or that nobody knows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift_pricing import Money, Price, PriceBook, Usage
from deepthrift_pricing.reports import Counterfactual, Report, bootstrap_mean
from tests.pricing.reports.books import BRIEF, DAY, Books, open_books

STANDARD, THINKING = Usage.of(2000, 100, cache_hit=1536), Usage.of(2000, 500, cache_hit=1984, reasoning=400)
# By the brief, per million: 1,536 × 0.028 + 464 × 0.28 + 100 × 0.42, and 1,984 × 0.028 + 16 × 0.55 + 500 × 1.68.
STANDARD_COST, THINKING_COST = Money.of("0.000214928"), Money.of("0.000904352")


def counterfactual(report: Report, name: str) -> Counterfactual:
    (found,) = [item for item in report.counterfactuals if item.name == name]
    return found


def routed(books: Books, number: int, *, escalate: bool) -> None:
    group = f"g{number}"
    books.book(STANDARD, group=group, tags={"team": "a" if number % 2 else "b"})
    books.book(STANDARD, group=group, purpose="sample")
    if escalate:
        books.book(THINKING, group=group, purpose="escalate", mode="thinking")


def test_a_day_of_routing_adds_up() -> None:
    books = open_books()
    for number in range(10):
        routed(books, number, escalate=number < 4)
    books.book(None, status="released")
    books.book(None, status="unknown")
    worst = BRIEF.worst(host="vllm", model="v3.1", mode="standard", prompt_tokens=2000, max_tokens=1000, at=DAY)
    report = Report.of(books.ledger, prices=BRIEF, until=books.now + timedelta(seconds=1))
    assert report.total == STANDARD_COST * 20 + THINKING_COST * 4 + worst
    assert report.unknown == worst
    assert sum(row.total.pico for row in report.by_mode) == report.total.pico
    assert {row.key["mode"]: row.total for row in report.by_mode}["thinking"] == THINKING_COST * 4
    assert {row.key["tag:team"] for row in report.by_tag["team"]} == {"", "a", "b"}
    assert report.escalations.answers == 11
    assert report.escalations.escalated == 4
    assert report.escalations.rate == Decimal("0.3636")
    assert report.escalations.verification == STANDARD_COST * 10
    assert report.escalations.escalation == THINKING_COST * 4
    assert report.escalations.drafts == STANDARD_COST * 4
    assert report.cache.hit_tokens == 20 * 1536 + 4 * 1984
    assert report.cache.hit_share == (Decimal(20 * 1536 + 4 * 1984) / 48000).quantize(Decimal("0.0001"))
    books.ledger.close()


def test_savings_count_everything_and_go_negative_when_routing_cost_more() -> None:
    books = open_books()
    for number in range(10):
        routed(books, number, escalate=True)
    report = Report.of(books.ledger, prices=BRIEF, until=books.now + timedelta(seconds=1))
    thinking = counterfactual(report, "always thinking")
    assert thinking.basis == "exact"
    assert thinking.cost == THINKING_COST * 10
    assert thinking.saved == -(STANDARD_COST * 20)
    standard = counterfactual(report, "always standard")
    assert standard.cost == STANDARD_COST * 10
    books.ledger.close()


def test_thinking_that_did_not_run_is_estimated_from_the_record_with_an_interval() -> None:
    books = open_books()
    for number in range(4):
        routed(books, number, escalate=True)
    lengths = (300, 500, 700)
    for length in lengths:
        books.book(Usage.of(2000, length, reasoning=100), mode="thinking", purpose="audit")
    routed(books, 9, escalate=False)
    report = Report.of(books.ledger, prices=BRIEF, until=books.now + timedelta(seconds=1))
    thinking = counterfactual(report, "always thinking")
    assert thinking.basis == "estimated"
    # Four measured, one with the mean length of 500 and the prompt as it was sent: 1,536 hits and 464 misses.
    expected = THINKING_COST.pico * 4 + 1536 * 28_000 + 464 * 550_000 + 500 * 1_680_000
    assert thinking.cost == Money(expected)
    assert thinking.low is not None
    assert thinking.high is not None
    assert thinking.low < thinking.cost < thinking.high
    books.ledger.close()


def test_without_a_record_there_is_no_figure() -> None:
    books = open_books()
    routed(books, 1, escalate=False)
    report = Report.of(books.ledger, prices=BRIEF, until=books.now + timedelta(seconds=1))
    thinking = counterfactual(report, "always thinking")
    assert (thinking.cost, thinking.saved, thinking.basis) == (None, None, "unknown")
    assert "needs 3 recorded thinking calls" in thinking.reason
    books.ledger.close()


def test_no_cache_is_exact_and_needs_the_price_rows() -> None:
    books = open_books()
    books.book(STANDARD)
    until = books.now + timedelta(seconds=1)
    found = counterfactual(Report.of(books.ledger, prices=BRIEF, until=until), "no cache")
    assert found.saved == Money(1536 * (280_000 - 28_000))
    other = PriceBook.flat(cache_miss="1", completion="1")
    assert counterfactual(Report.of(books.ledger, prices=other, until=until), "no cache").basis == "unknown"
    books.ledger.close()


def test_elsewhere_prices_the_same_tokens_and_says_that_lengths_differ() -> None:
    books = open_books()
    books.book(STANDARD)
    opus = Price(id="opus", cache_miss="5.00", completion="25.00", checked=DAY.date())
    yuan = opus.model_copy(update={"id": "yuan", "currency": "CNY"})
    report = Report.of(books.ledger, prices=BRIEF, until=books.now + timedelta(seconds=1), compare=[opus, yuan])
    assert counterfactual(report, "opus").cost == Money.of("0.0125")
    assert "tokenizer" in counterfactual(report, "opus").reason
    assert counterfactual(report, "yuan").basis == "unknown"
    books.ledger.close()


def test_an_empty_ledger_has_an_empty_report() -> None:
    books = open_books()
    report = Report.of(books.ledger, since=DAY, until=DAY + timedelta(days=1))
    assert report.total == Money(0)
    assert report.cache.hit_share is None
    assert report.escalations.rate is None
    assert all(item.cost == Money(0) for item in report.counterfactuals)
    assert Report.model_validate_json(report.model_dump_json()) == report
    books.ledger.close()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_the_interval_holds_the_mean(values: list[int]) -> None:
    mean, low, high = bootstrap_mean(values)
    assert low - 1e-3 <= mean <= high + 1e-3 or len(values) < 3
    assert bootstrap_mean(values) == (mean, low, high)


def test_there_is_no_mean_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        bootstrap_mean([])
