"""What a call will cost, said before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._estimate.prefix import PrefixPrediction
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Certainty, Mode, Usage

_ENOUGH = 5
"""Fewer recorded answers than this say nothing about the next one."""


class Estimate(BaseModel):
    """The cost of a call between its bounds: `least <= likely <= worst`. `str()` of it is a sentence for a person."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    prompt_tokens: int
    prompt_certainty: Certainty
    """`exact`: counted with the model's own tokenizer. `estimated`: an upper bound."""
    max_tokens: int
    """The most that may be generated, in tokens."""
    least: Money
    """The whole prompt cached, a single token generated."""
    likely: Money | None
    """With an answer of the expected length, and the cache hits that are predicted; `None` when no length is known."""
    worst: Money
    """Nothing cached, `max_tokens` generated, at the dearest price in reach: what a budget reserves."""
    mode: Mode
    price_id: str
    likely_completion_tokens: int | None = None
    """The length that was given, else the median of earlier answers; `max_tokens` at most."""
    likely_cache_hit_tokens: int = 0
    """The prompt tokens that the likely cost takes for cached."""
    recorded_answers: int = 0
    """Earlier answers in the ledger that the length rests upon; 0 when it was given, or there are too few."""
    prefix: PrefixPrediction | None = None
    """What a prefix cache will make of the prompt, and why not more; `None` where the tokenizer is not V3.1's."""

    def __str__(self) -> str:
        about = "" if self.prompt_certainty == "exact" else "at most "
        text = f"{self.mode}: {about}{self.prompt_tokens:,} prompt tokens"
        if self.likely is not None and self.likely_completion_tokens is not None:
            text += f", likely {self.likely} with {self.likely_completion_tokens:,} completion tokens"
            if self.recorded_answers:
                text += f" (the median of {self.recorded_answers:,} answers)"
        text += f", at most {self.worst}"
        return text if self.prefix is None else f"{text}; {self.prefix}"


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
    likely_hits: int | None = None,
    completion_tokens: int | None = None,
    prefix: PrefixPrediction | None = None,
    at: datetime | None = None,
    currency: Currency = "USD",
    tier: str = "standard",
    requests: Mapping[str, int] | None = None,
) -> Estimate:
    """The least, likely and worst cost of a call that starts at `at`, or now.

    `history` are earlier usages in this mode, such as `Ledger.completion_history` returns, of which at least five say
    something; `completion_tokens` is the expected length of the answer for who knows better. `prefix` is what
    `PrefixTracker.predict` tells; `likely_hits` the prompt tokens that are probably cached, if something else tells.
    `requests` are the most requests of each kind that the host may bill by themselves: a part of the worst cost only.

    Raises:
        PriceNotFound: No price fits.
    """
    at = utc_now() if at is None else at
    price = prices.find(host=host, model=model, mode=mode, at=at, currency=currency, tier=tier)
    worst = prices.worst(
        host=host,
        model=model,
        mode=mode,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        at=at,
        currency=currency,
        tier=tier,
        requests=requests,
    )
    least = price.cost(Usage.of(prompt_tokens, min(1, max_tokens), cache_hit=prompt_tokens)).total
    length, recorded = completion_tokens, 0
    if length is None and len(history) >= _ENOUGH:
        lengths = sorted(usage.completion_tokens for usage in history)
        length, recorded = lengths[len(lengths) // 2], len(lengths)
    if length is not None:
        length = max(min(1, max_tokens), min(max_tokens, length))
    if likely_hits is None:
        likely_hits = 0 if prefix is None else prefix.likely_hits
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
        recorded_answers=recorded,
        prefix=prefix,
    )
