"""What a comparison came to."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict

from deepthrift._types.reply import Reply
from deepthrift.batch import BatchResult
from deepthrift.batch._result import public_name
from deepthrift.compare._pair import Pair
from deepthrift.compare._statistics import bootstrap, percentile, wilson
from deepthrift_pricing import Certainty, Cost, Money


class SideReport(BaseModel):
    """One side: how it answered, how long that took, and what it cost."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    answered: int
    failed: int
    """Prompts without an answer."""
    errors: dict[str, int]
    """How often each kind of error came."""
    cut_off: int
    """Answers that ended at `max_tokens`."""
    wrong_mode: int
    """Answers in another mode than the one asked for."""
    median_seconds: float | None
    p95_seconds: float | None
    prompt_tokens: int
    cache_hit_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    spend: Money | None
    """What all attempts cost, failed ones included; `None` when nothing was sent."""
    certainty: Certainty


class Difference(BaseModel):
    """The mean of B - A over the prompts that both answered, with its 95 % paired-bootstrap interval."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


class CostDifference(BaseModel):
    """The mean of the cost of B - A, with its interval as in `Difference`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mean: Money
    low: Money
    high: Money

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low.pico > 0 or self.high.pico < 0


class Agreement(BaseModel):
    """How often both sides say the same, with the 95 % Wilson interval."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    same: int
    compared: int
    share: float
    low: float
    high: float


class Comparison(BaseModel):
    """Two endpoints on the same prompts."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    prompts: int
    pairs: int
    """Prompts that both sides answered; the differences are over these."""
    a: SideReport
    b: SideReport
    agreement: Agreement | None
    """`None` when no pair could be compared."""
    seconds: Difference | None
    completion_tokens: Difference | None
    cost: CostDifference | None
    """`None` with fewer than two pairs, or when the sides are priced in two currencies."""
    stopped: str | None = None
    """Why no further prompt was begun."""


def report(pairs: Sequence[Pair], prompts: int, names: tuple[str, str], stopped: str | None) -> Comparison:
    """The report on pairs, in the order of the prompts."""
    both = [(pair.a.reply, pair.b.reply) for pair in pairs if pair.a.reply is not None and pair.b.reply is not None]
    verdicts = [pair.agree for pair in pairs if pair.agree is not None]
    return Comparison(
        prompts=prompts,
        pairs=len(both),
        a=_side(names[0], [pair.a for pair in pairs]),
        b=_side(names[1], [pair.b for pair in pairs]),
        agreement=_agreement(verdicts),
        seconds=_difference([b.seconds - a.seconds for a, b in both]),
        completion_tokens=_difference([b.usage.completion_tokens - a.usage.completion_tokens for a, b in both]),
        cost=_cost([(a.cost.total, b.cost.total) for a, b in both]),
        stopped=stopped,
    )


def _side(name: str, results: Sequence[BatchResult]) -> SideReport:
    replies: list[Reply] = [result.reply for result in results if result.reply is not None]
    failures = [result.error for result in results if result.reply is None and result.error is not None and result.sent]
    errors: dict[str, int] = {}
    for error in failures:
        errors[public_name(error)] = errors.get(public_name(error), 0) + 1
    spent = [cost for result in results if (cost := result.cost) is not None]
    total = Cost.sum([reply.cost for reply in replies], spent[0].currency if spent else "USD")
    times = [reply.seconds for reply in replies]
    return SideReport(
        name=name,
        answered=len(replies),
        failed=len(failures),
        errors=errors,
        cut_off=sum(reply.finish_reason == "length" for reply in replies),
        wrong_mode=sum(reply.mode != reply.requested_mode for reply in replies),
        median_seconds=median(times) if times else None,
        p95_seconds=percentile(times, 0.95),
        prompt_tokens=sum(reply.usage.prompt_tokens for reply in replies),
        cache_hit_tokens=sum(reply.usage.cache_hit_tokens for reply in replies),
        completion_tokens=sum(reply.usage.completion_tokens for reply in replies),
        reasoning_tokens=sum(reply.usage.reasoning_tokens for reply in replies),
        spend=Money.sum(spent, spent[0].currency) if spent else None,
        certainty="unknown" if any(error.spend for error in failures) else total.certainty,
    )


def _agreement(verdicts: Sequence[bool]) -> Agreement | None:
    interval = wilson(sum(verdicts), len(verdicts))
    if interval is None:
        return None
    same = sum(verdicts)
    return Agreement(same=same, compared=len(verdicts), share=same / len(verdicts), low=interval[0], high=interval[1])


def _difference(differences: Sequence[float]) -> Difference | None:
    found = bootstrap(differences)
    return None if found is None else Difference(mean=found[0], low=found[1], high=found[2])


def _cost(costs: Sequence[tuple[Money, Money]]) -> CostDifference | None:
    if len({each.currency for pair in costs for each in pair}) != 1:
        return None
    found = bootstrap([b.pico - a.pico for a, b in costs])
    if found is None:
        return None
    mean, low, high = (Money(round(each), costs[0][0].currency) for each in found)
    return CostDifference(mean=mean, low=low, high=high)
