"""The ledger as Prometheus metrics: parsed back from the exposition that a scrape gets."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deepthrift_pricing import AttemptRequest, Budget, Ledger, Money, Usage
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.prometheus import LedgerCollector
from tests.pricing.reports.books import Books, open_books

Series = dict[tuple[str, ...], float]
USAGE = Usage.of(2000, 500, cache_hit=1536, reasoning=300)


def open_attempt(ledger: Ledger, attempt_id: str, books: Books) -> None:
    ledger.try_reserve(
        AttemptRequest(
            attempt_id=attempt_id,
            call_id=attempt_id,
            group_id=attempt_id,
            host="vllm",
            model="v3.1",
            mode="standard",
            prompt_tokens=2000,
            max_tokens=1000,
            worst=Money.of("0.002"),
            started_at=books.now,
        )
    )


def registry_of(ledger: Ledger, *tags: str) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(LedgerCollector(ledger, tags=tags))
    return registry


def scrape(registry: CollectorRegistry) -> dict[str, Series]:
    """Every sample of the text format, by name and then by label values in the order of their names."""
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture
def books() -> Books:
    made = open_books()
    made.book(USAGE)
    made.book(USAGE, mode="thinking", purpose="escalate")
    made.book(None, status="released")
    made.book(None, status="unknown")
    return made


def test_every_figure_is_the_ledgers_own(books: Books) -> None:
    with books.ledger as ledger:
        found = scrape(registry_of(ledger))
        spent = {row.key["mode"]: row for row in ledger.spend(by=("mode",))}
        standard, thinking = spent["standard"], spent["thinking"]
        settled = float((standard.total - standard.unknown).amount)
        assert found["deepthrift_spend_total"] == {
            ("USD", "vllm", "standard", "v3.1"): pytest.approx(settled),
            ("USD", "vllm", "thinking", "v3.1"): pytest.approx(float(thinking.total.amount)),
        }
        assert found["deepthrift_spend_held"] == {
            ("USD", "vllm", "standard", "v3.1", "unknown"): pytest.approx(float(standard.unknown.amount))
        }
    assert found["deepthrift_prompt_tokens_total"]["hit", "vllm", "thinking", "v3.1"] == 1536
    assert found["deepthrift_prompt_tokens_total"]["miss", "vllm", "thinking", "v3.1"] == 464
    assert found["deepthrift_completion_tokens_total"]["vllm", "standard", "v3.1"] == 500
    assert found["deepthrift_reasoning_tokens_total"]["vllm", "standard", "v3.1"] == 300
    assert found["deepthrift_attempts_total"] == {
        ("vllm", "standard", "v3.1", "answer", "settled"): 1,
        ("vllm", "standard", "v3.1", "answer", "released"): 1,
        ("vllm", "thinking", "v3.1", "escalate", "settled"): 1,
    }
    assert found["deepthrift_attempts_open"] == {("vllm", "standard", "v3.1", "unknown"): 1}


def test_a_failed_attempt_is_told_by_its_error(books: Books) -> None:
    with books.ledger as ledger:
        for number, error in enumerate(("RateLimited", "RateLimited", "ConnectionFailed")):
            open_attempt(ledger, f"failed{number}", books)
            ledger.release(f"failed{number}", ended_at=books.now, error=error)
        open_attempt(ledger, "open", books)
        found = scrape(registry_of(ledger))
    assert found["deepthrift_attempt_errors_total"] == {("RateLimited", "vllm"): 2, ("ConnectionFailed", "vllm"): 1}
    assert found["deepthrift_attempts_open"]["vllm", "standard", "v3.1", "reserved"] == 1
    assert found["deepthrift_spend_held"]["USD", "vllm", "standard", "v3.1", "reserved"] == pytest.approx(0.002)


def test_a_counter_never_falls_though_the_ledger_is_pruned(books: Books) -> None:
    with books.ledger as ledger:
        registry = registry_of(ledger)
        before = scrape(registry)
        books.now += timedelta(days=1)
        assert ledger.prune(books.now) > 0
        assert scrape(registry)["deepthrift_spend_total"] == before["deepthrift_spend_total"]
        books.book(USAGE)
        after = scrape(registry)
    key = ("vllm", "standard", "v3.1")
    assert after["deepthrift_completion_tokens_total"][key] == 1000
    assert after["deepthrift_spend_total"]["USD", *key] == pytest.approx(
        2 * before["deepthrift_spend_total"]["USD", *key]
    )


def test_budgets_are_gauges_and_one_that_counts_apart_shows_its_fullest_part() -> None:
    budgets = [Budget("1", per="total", name="all"), Budget("0.01", per="day", each="customer", name="each")]
    with Ledger.open(budgets=budgets) as ledger:
        books = Books(ledger)
        books.now = ledger._clock()
        books.book(USAGE, tags={"customer": "ada"})
        books.book(USAGE, tags={"customer": "bob"})
        books.book(USAGE, tags={"customer": "bob"})
        found = scrape(registry_of(ledger, "customer"))
        total = float(ledger.spend(by=())[0].total.amount)
    assert found["deepthrift_budget_limit"] == {("all", "USD"): 1, ("each", "USD"): 0.01}
    assert found["deepthrift_budget_spent"]["all", "USD"] == pytest.approx(total)
    assert found["deepthrift_budget_spent"]["each", "USD"] == pytest.approx(total * 2 / 3)
    assert found["deepthrift_budget_left"]["each", "USD"] == pytest.approx(0.01 - total * 2 / 3)
    assert found["deepthrift_completion_tokens_total"]["vllm", "standard", "v3.1", "bob"] == 1000


def test_what_cannot_be_a_label_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open() as ledger:
        with pytest.raises(ConfigurationError, match="cannot be a label"):
            LedgerCollector(ledger, tags=["cost-centre"])
        monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
        with pytest.raises(ConfigurationError, match="pip install"):
            LedgerCollector(ledger)
