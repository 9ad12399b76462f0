"""Requests billed by themselves and service tiers in every kind of ledger, in its sums and its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import AttemptRequest, Ledger, PriceBook, Usage
from deepthrift_pricing.reports import Report, export
from tests.pricing.ledgers import NOON, Clock
from tests.support.databases import STORES, store_url

Open = Callable[..., Ledger]


@pytest.fixture(params=STORES)
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens ledgers on one store; all of them are closed in the end."""
    with ExitStack() as stack:
        url = stack.enter_context(store_url(request.param, tmp_path))
        yield lambda: stack.enter_context(Ledger.open(url, clock=Clock()))


BOOK = PriceBook.flat(cache_miss="1", completion="1", per_request={"search": "10", "fetch": "20"})
USAGE = Usage.of(1000, 100, requests={"search": 2, "fetch": 1})


def book(
    ledger: Ledger, name: str, *, usage: Usage = USAGE, tier: str | None = "flex", served: str | None = None
) -> None:
    request = AttemptRequest(
        attempt_id=name, call_id=name, group_id=name, host="h", model="m", mode="standard", prompt_tokens=1000,
        max_tokens=100, worst=BOOK.rows[0].worst(1000, 100, {"search": 5, "fetch": 1}), service_tier=tier,
        started_at=NOON,
    )  # fmt: skip
    ledger.try_reserve(request)
    cost = BOOK.cost(usage, host="h", model="m", mode="standard", started_at=NOON)
    ledger.settle(
        name, usage=usage, cost=cost, ended_at=NOON, finish_reason="stop", http_status=200, service_tier=served
    )


def test_counts_costs_and_tiers_come_back_as_they_were_booked(open_ledger: Open) -> None:
    ledger = open_ledger()
    book(ledger, "a")
    book(ledger, "b", served="standard")
    book(ledger, "c", usage=Usage.of(1000, 100), tier=None)
    first, second, third = ledger.attempts()
    assert first.usage == USAGE
    assert first.cost.requests.amount == Decimal("0.04")
    assert first.cost.total == BOOK.cost(USAGE, host="h", model="m", mode="standard", started_at=NOON).total
    assert [each.service_tier for each in (first, second, third)] == ["flex", "standard", None]
    assert third.usage is not None
    assert not third.usage.requests
    assert third.cost.requests.amount == 0


def test_sums_by_tier_hold_what_was_billed_by_request(open_ledger: Open) -> None:
    ledger = open_ledger()
    book(ledger, "a")
    book(ledger, "b", usage=Usage.of(1000, 100), tier=None)
    none, flex = ledger.spend(by=("service_tier",))
    assert (none.key["service_tier"], none.requests.amount) == ("", 0)
    assert (flex.key["service_tier"], flex.requests.amount) == ("flex", Decimal("0.04"))
    assert flex.cache_hit + flex.cache_miss + flex.completion + flex.requests == flex.total
    report = Report.of(ledger, since=NOON, prices=BOOK)
    assert report.requests.amount == Decimal("0.04")
    assert all(other.cost is not None for other in report.counterfactuals if other.name == "no cache")


def test_what_is_held_as_unknown_is_not_counted_as_requests(open_ledger: Open) -> None:
    ledger = open_ledger()
    book(ledger, "a")
    request = AttemptRequest(
        attempt_id="u", call_id="u", group_id="u", host="h", model="m", mode="standard", prompt_tokens=1, max_tokens=1,
        worst=BOOK.rows[0].worst(1, 1, {"search": 5}), started_at=NOON,
    )  # fmt: skip
    ledger.try_reserve(request)
    ledger.hold_unknown("u", ended_at=NOON)
    [row] = ledger.spend(by=())
    assert row.requests.amount == Decimal("0.04")
    assert row.unknown.amount == Decimal("0.050002")


def test_a_file_has_columns_for_them(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger()
    book(ledger, "a")
    export(ledger, tmp_path / "attempts.jsonl")
    row = json.loads((tmp_path / "attempts.jsonl").read_text(encoding="utf-8"))
    assert Decimal(row["cost_requests"]) == Decimal("0.04")
    assert json.loads(row["requests"]) == {"fetch": 1, "search": 2}
    assert row["service_tier"] == "flex"
