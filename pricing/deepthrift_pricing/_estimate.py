"""What a call will cost, said before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._attempt import utc_now
from deepthrift_pricing._money import Currency, Money
from deepthrift_pricing._price_book import PriceBook
from deepthrift_pricing._usage import Certainty, Mode, Usage

_ENOUGH = 5
"""Fewer recorded answers than this say nothing about the next one."""


class Estimate(BaseModel):
    """The cost of a call between its bounds: `least <= likely <= worst`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    prompt_tokens: int
    prompt_certainty: Certainty
    """`exact`: counted with the model's own tokenizer. `estimated`: an upper bound."""
    max_tokens: int
    """The most that may be generated, in tokens."""
    least: Money
    """The whole prompt cached, a single token generated."""
    likely: Money | None
    """As long as earlier answers in this mode were in the median; `None` without enough of them."""
    worst: Money
    """Nothing cached, `max_tokens` generated, at the dearest price in reach: what a budget reserves."""
    mode: Mode
    price_id: str
    likely_completion_tokens: int | None = None
    """The median length of earlier answers, `max_tokens` at most."""
    likely_cache_hit_tokens: int = 0
    """The prompt tokens that the likely cost takes for cached."""


def estimate_cost(
    prices: PriceBook,
    *,
    host: str,
    model: str,
    mode: Mode,
    prompt_tokens: int,
    max_tokens: int,
    prompt_certainty: Certainty = "exact",
    history: Sequence[Usage] = (),
    likely_hits: int = 0,
    at: datetime | None = None,
    currency: Currency = "USD",
) -> Estimate:
    """The least, likely and worst cost of a call that starts at `at`, or now.

    `history` are earlier usages in this mode, such as `Ledger.completion_history` returns; `likely_hits` the prompt
    tokens that are probably cached, such as `PrefixTracker.predict` tells.

    Raises:
        PriceNotFound: No price fits.
    """
    at = utc_now() if at is None else at
    price = prices.find(host=host, model=model, mode=mode, at=at, currency=currency)
    worst = prices.worst(
        host=host,
        model=model,
        mode=mode,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        at=at,
        currency=currency,
    )
    least = price.cost(Usage.of(prompt_tokens, min(1, max_tokens), cache_hit=prompt_tokens)).total
    length: int | None = None
    if len(history) >= _ENOUGH:
        lengths = sorted(usage.completion_tokens for usage in history)
        length = max(min(1, max_tokens), min(max_tokens, lengths[len(lengths) // 2]))
    hits = max(0, min(likely_hits, prompt_tokens))
    return Estimate(
        prompt_tokens=prompt_tokens,
        prompt_certainty=prompt_certainty,
        max_tokens=max_tokens,
        least=least,
        likely=None if length is None else price.cost(Usage.of(prompt_tokens, length, cache_hit=hits)).total,
        worst=worst,
        mode=mode,
        price_id=price.id,
        likely_completion_tokens=length,
        likely_cache_hit_tokens=hits,
    )
