"""Estimates: least <= likely <= worst, for every price, prompt and history."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Money, PriceBook, Usage, estimate_cost
from deepthrift_pricing.errors import PriceNotFound

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@given(
    st.integers(0, 128_000),
    st.integers(1, 64_000),
    st.lists(st.integers(0, 64_000), max_size=20),
    st.integers(0, 130_000),
    st.sampled_from([PriceBook.builtin(), PriceBook.named("brief"), PriceBook.flat(cache_miss="1", completion="0")]),
)
def test_the_bounds_hold(prompt: int, most: int, lengths: list[int], hits: int, book: PriceBook) -> None:
    history = [Usage.of(10, length) for length in lengths]
    told = estimate_cost(
        book,
        host="deepseek",
        model="deepseek-flash",
        mode="thinking",
        prompt_tokens=prompt,
        max_tokens=most,
        history=history,
        likely_hits=hits,
        at=NOON,
    )
    assert told.least <= told.worst
    assert (told.likely is None) == (len(lengths) < 5)
    if told.likely is not None:
        assert told.least <= told.likely <= told.worst
        assert told.likely_completion_tokens is not None
        assert told.likely_completion_tokens <= most


def test_the_figures_of_one_estimate() -> None:
    told = estimate_cost(
        PriceBook.named("official-2025-09-05"),
        host="x",
        model="y",
        mode="standard",
        prompt_tokens=2000,
        max_tokens=500,
        history=[Usage.of(1, length) for length in (10, 20, 100, 400, 2000)],
    )
    assert told.worst == Money.of("0.00196")
    assert told.least == Money.of("0.00014168")
    assert told.likely == Money.of("0.001288")
    assert (told.likely_completion_tokens, told.price_id) == (100, "official-2025-09-05")


def test_predicted_hits_make_the_likely_cost_smaller_and_the_worst_no_smaller() -> None:
    settings = {"host": "x", "model": "y", "mode": "standard", "prompt_tokens": 2000, "max_tokens": 500}
    book, history = PriceBook.named("official-2025-09-05"), [Usage.of(1, 500)] * 5
    told = estimate_cost(book, **settings, history=history, likely_hits=1536)
    assert told.likely == Money.of("0.00120736")
    assert told.worst == Money.of("0.00196")
    assert told.likely_cache_hit_tokens == 1536
    assert estimate_cost(book, **settings, likely_hits=9999).likely_cache_hit_tokens == 2000


def test_without_a_price_there_is_no_estimate() -> None:
    with pytest.raises(PriceNotFound):
        estimate_cost(PriceBook.builtin(), host="vllm", model="x", mode="standard", prompt_tokens=1, max_tokens=1)
