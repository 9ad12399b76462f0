"""Every kind of price that `genai-prices` has, against the library's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from deepthrift_pricing import PriceBook, Usage
from deepthrift_pricing.errors import PriceNotFound

genai_prices = pytest.importorskip("genai_prices")

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SIZES = ((1_000, 1_000), (199_999, 10), (200_001, 10), (272_001, 10), (600_000, 1_000))


def providers() -> list[str]:
    from genai_prices.data import providers as known

    return [provider.id for provider in known]


def theirs(provider: str, model: str, prompt: int, completion: int, written: int, tier: str) -> Decimal:
    from genai_prices.data import providers as known

    found = next(each for each in known if each.id == provider)
    info = next(each for each in found.models if each.id == model)
    context = {} if tier == "standard" else {"processing" if tier == "batch" else "service_tier": tier}
    usage = genai_prices.Usage(
        input_tokens=prompt, output_tokens=completion, cache_write_tokens=written, cache_read_tokens=0
    )
    return info.calc_price(usage, found, genai_request_timestamp=NOW, price_context=context).total_price


@pytest.mark.parametrize("provider", providers())
def test_no_cost_that_is_called_exact_differs_from_the_librarys(provider: str) -> None:
    book = PriceBook.from_genai_prices(provider)
    compared = exact = 0
    rows = {(row.models[0], row.tier): row for row in book.rows}
    for row in list(rows.values())[:: 1 + len(rows) // 60]:
        model, tier = row.models[0], row.tier
        info = next(each for each in _models(provider) if each.id.lower() == model)
        for prompt, completion in SIZES:
            for written in (0, prompt // 2):
                usage = Usage.of(prompt, completion, cache_write=written)
                try:
                    ours = book.cost(usage, host="h", model=model, mode="standard", started_at=NOW, tier=tier)
                    right = theirs(provider, info.id, prompt, completion, written, tier)
                except (PriceNotFound, ValueError):
                    continue
                compared += 1
                exact += ours.certainty == "exact"
                if ours.certainty == "exact":
                    assert ours.amount == right, (model, tier, prompt, written)
                worst = book.worst(
                    host="h",
                    model=model,
                    mode="standard",
                    prompt_tokens=prompt,
                    max_tokens=completion,
                    at=NOW,
                    tier=tier,
                )
                assert worst.amount >= ours.amount
    assert exact >= compared / 3


def _models(provider: str) -> list[object]:
    from genai_prices.data import providers as known

    return next(each.models for each in known if each.id == provider)  # type: ignore[return-value]


def test_a_long_prompt_costs_the_upper_bracket() -> None:
    book = PriceBook.from_genai_prices("google")
    where = {"host": "google", "model": "gemini-2.5-pro", "mode": "standard", "started_at": NOW}
    short, long = book.cost(Usage.of(200_000, 1_000), **where), book.cost(Usage.of(200_001, 1_000), **where)
    assert (short.amount, short.certainty) == (Decimal("0.26"), "exact")
    assert (long.amount, long.certainty) == (Decimal("0.5150025"), "exact")


def test_models_are_found_by_the_librarys_own_names() -> None:
    book = PriceBook.from_genai_prices("openai") + PriceBook.builtin()
    where = {"host": "openai", "mode": "standard", "at": NOW}
    assert book.find(model="gpt-4o-2024-08-06", **where).models == ("gpt-4o",)
    with pytest.raises(PriceNotFound):
        book.find(model="gpt-that-nobody-made", **where)


def test_a_fee_for_each_call_is_part_of_the_cost() -> None:
    cost = PriceBook.from_genai_prices("perplexity").cost(
        Usage.of(1_000, 1_000), host="p", model="sonar", mode="standard", started_at=NOW
    )
    assert cost.amount == Decimal("0.014")
    assert cost.requests.amount == Decimal("0.012")


def test_cache_writes_that_nobody_counted_are_never_exact() -> None:
    book = PriceBook.from_genai_prices("anthropic")
    where = {"host": "anthropic", "model": "claude-3-5-sonnet", "mode": "standard", "started_at": NOW}
    assert book.cost(Usage.of(1_000, 1_000), **where).certainty == "estimated"
    assert book.cost(Usage.of(1_000, 1_000, cache_write=0), **where).certainty == "exact"
