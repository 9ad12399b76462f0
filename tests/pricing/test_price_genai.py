"""Prices from the genai-prices library: marked as such, never before better ones, and never wrong for lack of words."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from deepthrift_pricing import PriceBook, Usage
from deepthrift_pricing.errors import ConfigurationError, PriceNotFound

genai_prices = pytest.importorskip("genai_prices")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USAGE = Usage.of(2000, 500, cache_hit=1536)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "mistral", "groq", "deepseek"])
def test_costs_equal_the_librarys_own(provider: str) -> None:
    """Where the library has one price without tiers, it and we must agree; where it has tiers, ours is a ceiling."""
    book = PriceBook.from_genai_prices(provider, host=provider)
    models = {name for row in book.rows for name in row.models}
    assert len(models) > 1
    equal = 0
    for model in models:
        try:
            ours = book.cost(USAGE, host=provider, model=model, mode="standard", started_at=NOW)
            theirs = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=2000, cache_read_tokens=1536, output_tokens=500),
                model_ref=model,
                provider_id=provider,
                genai_request_timestamp=NOW,
            ).total_price
        except (PriceNotFound, LookupError, ValueError):
            continue
        assert ours.amount >= theirs
        equal += ours.amount == theirs
        assert ours.price_ids[0].startswith(f"genai-prices/{provider}/")
    assert equal >= len(models) / 2


def test_better_prices_come_before_them() -> None:
    book = PriceBook.from_genai_prices("deepseek") + PriceBook.builtin()
    peak = datetime(2026, 11, 22, 2, tzinfo=UTC)  # a Sunday, which the library takes for a peak
    price = book.find(host="deepseek", model="deepseek-flash", mode="standard", at=peak)
    assert price.completion == Decimal("0.60")
    assert not price.id.startswith("genai-prices/")


def test_an_unknown_provider_names_the_known_ones() -> None:
    with pytest.raises(PriceNotFound, match="anthropic"):
        PriceBook.from_genai_prices("nobody")


def test_without_the_extra_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'deepthrift\[prices\]'"):
        PriceBook.from_genai_prices("openai")
