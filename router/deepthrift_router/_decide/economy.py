"""What each step would cost now: real prices, recorded lengths, the budget that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, Final

from deepthrift_pricing import Attempt, Ledger, Mode, Money, Price, Usage
from deepthrift_router._belief.prior import Prior, RecordedLength
from deepthrift_router._calls.budget_status import LIMITING, statuses_at_hand
from deepthrift_router._record.decision import TokenLength

if TYPE_CHECKING:
    from deepthrift import HostProfile

LEAST_RECORDED: Final = 5
"""Recorded calls from which the ledger's own lengths replace those of the training data."""
_RECENT: Final = 64
_TWO_PASS_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Spread:
    """An expected cost with the ends of its interval, in 10⁻¹² of the currency."""

    expected: float
    low: float
    high: float

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.expected + other.expected, self.low + other.low, self.high + other.high)

    def times(self, share: float) -> Spread:
        """This cost, paid with a probability."""
        return Spread(self.expected * share, self.low * share, self.high * share)


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of standard calls on one prompt."""

    standard: Spread
    sample: Spread
    """A further standard call on the same prompt."""
    worst_standard: Money
    standard_price: Price
    prompt_tokens: int
    length: TokenLength
    cached_share: float | None
    """Share of the prompt that later calls of a group found in the cache, as recorded; `None`: no record."""
    seconds: float | None = None
    """Expected of a standard call; `None` where nobody asked or too few are on record."""

    def sample_like(self, completion_tokens: int) -> float:
        """The expected cost of a further standard call whose answer is so long."""
        hit, miss, completion = self.standard_price.pico
        warm = self.cached_share or 0.0
        return self.prompt_tokens * (warm * hit + (1 - warm) * miss) + completion * completion_tokens


@dataclass(frozen=True, slots=True)
class Room:
    """What may still be spent, and which budget says so."""

    left: Money
    budget: str


def effort_on_record(host: HostProfile, model: str, effort: str | int | None) -> str | None:
    """An effort as the ledger names it."""
    if not isinstance(effort, str):
        return None if effort is None else str(effort)
    efforts = host.efforts_for(model)
    return effort if efforts is None else efforts.aliases.get(effort, effort)


def recorded_calls(ledger: Ledger, host: HostProfile, model: str, mode: Mode, effort: str | None = None) -> list[Usage]:
    """Usages of recent calls in `mode` at this effort, the newest first; the passes of one call are added up."""
    if mode == "standard" or host.two_pass is None:
        return ledger.completion_history(host=host.name, model=model, mode=mode, limit=_RECENT, effort=effort)
    calls: dict[str, Usage] = {}
    for attempt in ledger.attempts(limit=_TWO_PASS_ROWS):
        usage = _own_usage(attempt, host.name, model, mode)
        if usage is not None:
            known = calls.get(attempt.call_id)
            calls[attempt.call_id] = usage if known is None else known + usage
    return list(reversed(calls.values()))[:_RECENT]


def _own_usage(attempt: Attempt, host: str, model: str, mode: Mode) -> Usage | None:
    same = attempt.status == "settled" and (attempt.host, attempt.model, attempt.mode) == (host, model, mode)
    return attempt.usage if same and attempt.usage is not None and attempt.usage.certainty == "exact" else None


def expected_length(mode: Mode, recorded: Sequence[Usage], prior: Prior, max_tokens: int) -> TokenLength:
    """Completion tokens to expect: from this ledger's calls, else from the training data's."""
    if len(recorded) >= LEAST_RECORDED:
        return _recorded_length(mode, tuple(usage.completion_tokens for usage in recorded), max_tokens)
    return _length_of_prior(mode, prior.recorded_length(mode), max_tokens)


EFFORT_SHARES: Final[Mapping[str, float]] = {
    "minimal": 0.25, "low": 0.5, "medium": 0.75, "high": 1.0, "xhigh": 1.5, "max": 2.0
}  # fmt: skip
"""How long thinking at a level is taken to be, against no level, until calls are on record: an assumption that only
keeps the levels in order."""


def length_at_effort(length: TokenLength, effort: str | int | None, answer: float, max_tokens: int) -> TokenLength:
    """What of `length` is left at an effort: a number of tokens bounds the thinking, and an `answer` follows it."""
    if isinstance(effort, int):
        most = min(float(max_tokens), effort + answer)
        bounds = {name: min(most, getattr(length, name)) for name in ("expected", "low", "high")}
        return length.model_copy(update=bounds)
    share = 1.0 if effort is None or length.source == "recorded" else EFFORT_SHARES.get(effort, 1.0)
    if share == 1.0:
        return length
    scaled = {name: min(float(max_tokens), share * getattr(length, name)) for name in ("expected", "low", "high")}
    return length.model_copy(update=scaled)


@lru_cache(maxsize=64)
def _recorded_length(mode: Mode, completions: tuple[int, ...], max_tokens: int) -> TokenLength:
    """From calls on record; kept while the record stays the same."""
    values = [min(tokens, max_tokens) for tokens in completions]
    mean, error = _mean(values)
    return TokenLength(
        mode=mode,
        expected=mean,
        low=max(0.0, mean - error),
        high=min(float(max_tokens), mean + error),
        calls=len(values),
        source="recorded",
    )


@lru_cache(maxsize=64)
def _length_of_prior(mode: Mode, known: RecordedLength | None, max_tokens: int) -> TokenLength:
    quantiles = [min(value, max_tokens) for value in known.quantiles] if known is not None else [max_tokens]
    # Another model on other questions: the spread between questions, not the error of a mean, is the honest interval.
    return TokenLength(
        mode=mode,
        expected=sum(quantiles) / len(quantiles),
        low=float(quantiles[len(quantiles) // 40]),
        high=float(quantiles[-1 - len(quantiles) // 40]),
        calls=0 if known is None else known.rows,
        source="prior",
    )


def _mean(values: Sequence[int]) -> tuple[float, float]:
    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    # Student's factor for 95 %, close enough from five values on.
    return mean, (1.96 + 2.4 / (count - 1) + 3.6 / (count - 1) ** 2) * sqrt(variance / count)


def cached_share(ledger: Ledger, host: HostProfile, model: str) -> float | None:
    """The share of the prompt that second samples found in the provider's cache, as recorded."""
    later = ledger.completion_history(host=host.name, model=model, mode="standard", limit=32, purpose="sample")
    prompt = sum(usage.prompt_tokens for usage in later)
    return sum(usage.cache_hit_tokens for usage in later) / prompt if prompt else None


def cost_of(price: Price, prompt: float, length: TokenLength, cached: float) -> Spread:
    """The cost of a call with so many prompt tokens, a share of them cached."""
    hit, miss, completion = price.pico
    before = prompt * (cached * hit + (1 - cached) * miss)
    return Spread(
        before + completion * length.expected, before + completion * length.low, before + completion * length.high
    )


def room_for(
    ledger: Ledger, *, host: str, model: str, mode: Mode, tags: Mapping[str, str], call_id: str, group_id: str
) -> Room | None:
    """The least room among the budgets that cover such a call, or `None` where no budget limits it.

    In an event loop it's that of the last `refresh_statuses`.
    """
    covering = [budget for budget in ledger.budgets if budget.covers(host, model, mode, tags)]
    limiting = [budget for budget in covering if budget.policy in LIMITING]
    if not limiting:
        return None
    statuses = {(status.budget.scope, status.part): status for status in statuses_at_hand(ledger)}
    least: Room | None = None
    for budget in limiting:
        status = statuses.get((budget.scope, budget.part(call_id, group_id, tags)))
        left = budget.limit
        if status is not None:
            # Reservations of others may come free, and the client waits for them where the budget says so.
            left = left - status.spent if budget.policy == "wait" else left - status.spent - status.reserved
        left = max(left, Money.zero(left.currency))
        if least is None or left < least.left:
            least = Room(left, budget.label)
    return least
