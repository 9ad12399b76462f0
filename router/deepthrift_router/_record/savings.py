"""What routing saved against always thinking, net of everything that it cost itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing import Currency, Money, Price, Usage

LEAST_CALLS: Final = 3
"""Recorded thinking calls below which nothing is said about the ones that were not made."""


class Savings(BaseModel):
    """The cost of always thinking less what was really spent: second samples and rejected drafts included.

    Negative when routing cost more. `net`, `low` and `high` are `None` when nobody knows; `reason` says why.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    net: Money | None
    low: Money | None = None
    """Lower end of the 95 % interval."""
    high: Money | None = None
    spent: Money
    """All attempts of all calls of the routed answer."""
    baseline: Money | None
    """What thinking at once costs, or would have cost."""
    basis: Literal["measured", "estimated", "unknown"]
    """`measured`: thinking ran, and its own tokens count. `estimated`: from recorded thinking calls."""
    recorded: int = 0
    """How many recorded thinking calls the estimate rests on."""
    reason: str

    @property
    def known(self) -> bool:
        """Whether there is a figure."""
        return self.net is not None

    @classmethod
    def unknown(cls, spent: Money, reason: str, recorded: int = 0) -> Self:
        """No figure, and why."""
        return cls(net=None, spent=spent, baseline=None, basis="unknown", recorded=recorded, reason=reason)

    @classmethod
    def sum(cls, savings: Iterable[Savings]) -> Savings | None:
        """The total of several answers, or `None` of none; unknown as soon as one is.

        The ends of the intervals add up, for all rest on the same record of thinking calls.
        """
        items = list(savings)
        if not items:
            return None
        currency = items[0].spent.currency
        spent = Money.sum((item.spent for item in items), currency)
        unknown = [item for item in items if item.net is None]
        recorded = max(item.recorded for item in items)
        if unknown:
            reason = f"{len(unknown)} of {len(items)} answers have no figure: {unknown[0].reason}"
            return cls.unknown(spent, reason, recorded)
        measured = sum(item.basis == "measured" for item in items)
        return cls(
            net=Money.sum((item.net for item in items if item.net is not None), currency),
            low=Money.sum((item.low for item in items if item.low is not None), currency),
            high=Money.sum((item.high for item in items if item.high is not None), currency),
            spent=spent,
            baseline=Money.sum((item.baseline for item in items if item.baseline is not None), currency),
            basis="measured" if measured == len(items) else "estimated",
            recorded=recorded,
            reason=_rests_on(measured, len(items), recorded),
        )


def _rests_on(measured: int, answers: int, recorded: int) -> str:
    if measured == answers:
        return "thinking ran for every answer"
    calls = f"{recorded} recorded thinking call{'' if recorded == 1 else 's'}"
    if not measured:
        return f"thinking ran for none, and all of it rests on {calls}"
    return f"thinking ran for {measured} of {answers} answers; the others rest on {calls}"


def measured_savings(spent: Money, thinking: Usage, first: Usage, price: Price, *, passes: int) -> Savings:
    """Savings where thinking ran: its own completion tokens, its prompt as cached as the first call's was."""
    if passes == 1:
        hits = min(first.cache_hit_tokens, thinking.prompt_tokens)
        thinking = Usage.of(
            thinking.prompt_tokens, thinking.completion_tokens, cache_hit=hits, reasoning=thinking.reasoning_tokens
        )
    baseline = price.cost(thinking).total
    net = baseline - spent
    return Savings(
        net=net,
        low=net,
        high=net,
        spent=spent,
        baseline=baseline,
        basis="measured",
        recorded=1,
        reason="thinking ran, so its own tokens are the baseline",
    )


def estimated_savings(spent: Money, recorded: Sequence[Usage], first: Usage, price: Price, *, passes: int) -> Savings:
    """Savings where thinking did not run: its length as in the recorded calls, with a bootstrap interval."""
    if len(recorded) < LEAST_CALLS:
        reason = f"{len(recorded)} thinking calls are on record here; an estimate needs {LEAST_CALLS}"
        return Savings.unknown(spent, reason, len(recorded))
    if passes == 1:
        # Only the lengths differ, and an answer costs in proportion to its length.
        prompt = price.cost(Usage.of(first.prompt_tokens, 0, cache_hit=first.cache_hit_tokens)).total.pico
        lengths = _mean_of(tuple(usage.completion_tokens for usage in recorded))
        mean, low, high = (prompt + price.pico[2] * length for length in lengths)
    else:
        mean, low, high = _mean_of(tuple(price.cost(usage).total.pico for usage in recorded))
    currency: Currency = spent.currency
    baseline = Money(round(mean), currency)
    return Savings(
        net=baseline - spent,
        low=Money(round(low), currency) - spent,
        high=Money(round(high), currency) - spent,
        spent=spent,
        baseline=baseline,
        basis="estimated",
        recorded=len(recorded),
        reason=f"thinking did not run; its length is that of {len(recorded)} recorded thinking calls",
    )


@lru_cache(maxsize=32)
def _mean_of(values: tuple[int, ...]) -> tuple[float, float, float]:
    """The mean and its bootstrap interval, kept while the record stays the same."""
    from deepthrift_pricing.reports import bootstrap_mean

    return bootstrap_mean(values)
