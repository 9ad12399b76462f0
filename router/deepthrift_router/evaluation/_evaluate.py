"""The evaluation of a router on recorded outcomes: the curve, its intervals, its calibration, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Money, Price
from deepthrift_router._learn.estimates import calibration_error
from deepthrift_router.evaluation._judged import MOST_SAMPLES, Judged
from deepthrift_router.evaluation._metrics import (
    Interval,
    Ranking,
    ReliabilityBin,
    area_under_roc,
    bootstrap,
    reliability,
)
from deepthrift_router.evaluation._spend import Spend, all_known, spend_of

SHARES: Final = (0.1, 0.2, 0.3, 0.5)
CURVE: Final = tuple(step / 20 for step in range(21))
ORACLE: Final = "perfect gain of the first answer (oracle)"
"""Thinks first where thinking alone is right, and last where standard alone is: the bound of what one sample can do."""
_LEVELS: Final = (0.5, 0.8, 0.95)


class SharePoint(BaseModel):
    """A rule at one share of thinking calls."""

    model_config = ConfigDict(frozen=True)

    share: float
    """Share of the questions that are sent to thinking."""
    accuracy: Interval
    pgr: Interval | None
    """Share of always-thinking's gain over standard that is kept; `None` where thinking gains nothing."""
    tokens: float | None
    """Completion tokens as a share of always-thinking's; `None`: not recorded."""
    cost: Money | None
    """Of a thousand questions; `None` without prices or tokens."""


class RuleFigures(BaseModel):
    """One rule for which questions think, over the whole range of shares."""

    model_config = ConfigDict(frozen=True)

    name: str
    calls: str
    """Calls per question beside thinking."""
    points: tuple[SharePoint, ...]
    """At the shares that were asked for."""
    curve: tuple[SharePoint, ...]
    """At every twentieth, without intervals."""
    apgr: Interval | None
    """Mean PGR over all shares: 0.5 is random."""
    cpt: dict[str, float | None]
    """The least share of thinking calls that keeps 50, 80 and 95 % of the gain; `None`: none does."""


class Evaluation(BaseModel):
    """A router's figures on recorded outcomes."""

    model_config = ConfigDict(frozen=True)

    rows: int
    pairs: tuple[str, ...]
    standard: Interval
    """Accuracy of always-standard."""
    thinking: Interval
    """Accuracy of always-thinking."""
    rules: tuple[RuleFigures, ...]
    auc: float | None
    """How well the score tells which standard answers fail, before any call; 0.5 is chance."""
    auc_length: float | None
    """The same by prompt length."""
    score_weight: float
    """Mean weight that the score was given."""
    calibration_error: float
    """Of the confidence in the standard answer, on all the evidence."""
    calibration_error_thinking: float
    reliability: tuple[ReliabilityBin, ...]
    notes: tuple[str, ...] = ()
    """What was estimated or is missing."""


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    calls: str
    scores: Sequence[float]
    kept: Sequence[float]
    samples: int
    """Standard calls before it is decided; 0: decided beforehand."""


def evaluate(
    judged: Sequence[Judged],
    *,
    shares: Sequence[float] = SHARES,
    draws: int = 500,
    prices: tuple[Price, Price] | None = None,
    checks: int = 0,
    seed: int = 0,
) -> Evaluation:
    """The figures of the router and of what it is compared with.

    Args:
        judged: Graded outcomes, see `judge`.
        shares: Shares of thinking calls, in rising order.
        draws: Bootstrap resamples of the intervals.
        prices: Prices of the standard and of the thinking mode, for costs.
        checks: How many cross-checks were asked for, each counted as one call with a bare answer.
        seed: Of the bootstrap.

    Raises:
        ConfigurationError: There is no graded outcome.
    """
    if not judged:
        raise ConfigurationError("there is no outcome with a grade of both modes; give a grader and references")
    standard = [float(each.outcome.standard_right) for each in judged]
    thinking = [float(each.outcome.thinking_right) for each in judged]
    spends = [spend_of(each.outcome, prompt=prices is not None) for each in judged]
    most = max(len(each.beliefs) for each in judged)
    means = bootstrap(lambda count: (_mean(standard, count), _mean(thinking, count)), len(judged), draws, seed)
    final = [each.after(most) for each in judged]
    kept = [each.kept(most) for each in judged]
    fails = [not each.outcome.standard_right for each in judged]
    return Evaluation(
        rows=len(judged),
        pairs=tuple(sorted({each.outcome.pair for each in judged})),
        standard=means[0],
        thinking=means[1],
        rules=tuple(
            _figures(rule, standard, thinking, spends, shares, draws, prices, checks, seed)
            for rule in _rules(judged, standard, most)
        ),
        auc=area_under_roc([-each.prior.p_standard for each in judged], fails),
        auc_length=area_under_roc([float(len(each.outcome.question)) for each in judged], fails),
        score_weight=sum(each.weight for each in judged) / len(judged),
        calibration_error=calibration_error([each.p_standard for each in final], kept),
        calibration_error_thinking=calibration_error(
            [each.p_thinking for each in final], [value > 0 for value in thinking]
        ),
        reliability=reliability([each.p_standard for each in final], kept),
        notes=_notes(judged, spends, most),
    )


def _rules(judged: Sequence[Judged], standard: Sequence[float], most: int) -> list[_Rule]:
    names = ("one sample", "two samples", "three samples")
    found = [
        _Rule(
            f"the router, {names[samples - 1]}",
            str(samples),
            [each.after(samples).gain for each in judged],
            [float(each.kept(samples)) for each in judged],
            samples,
        )
        for samples in range(most, 0, -1)
    ]
    found.append(_Rule("its score alone", "1 − share", [each.prior.gain for each in judged], standard, 0))
    if most >= 2:
        found.append(_Rule("two samples, escalate when they differ", "2", two_sample_rule(judged), standard, 2))
    lengths = [float(len(each.outcome.question)) for each in judged]
    found.append(_Rule("prompt length", "1 − share", lengths, standard, 0))
    found.append(_Rule("random", "1 − share", [0.0] * len(judged), standard, 0))
    gains = [each.outcome.thinking_right - each.outcome.standard_right for each in judged]
    found.append(_Rule(ORACLE, "1 − share", gains, standard, 0))
    return found


def two_sample_rule(judged: Sequence[Judged]) -> list[float]:
    """1 where two standard samples differ or one has no answer, else 0."""
    from deepthrift_router._answers.answers import same_answer

    found: list[float] = []
    for each in judged:
        first, second = (*each.outcome.samples[:2], None)[:2]
        found.append(float(first is None or second is None or not same_answer(first, second)))
    return found


def _figures(
    rule: _Rule,
    standard: Sequence[float],
    thinking: Sequence[float],
    spends: Sequence[Spend],
    shares: Sequence[float],
    draws: int,
    prices: tuple[Price, Price] | None,
    checks: int,
    seed: int,
) -> RuleFigures:
    ranking = Ranking.of(rule.scores)
    grid = sorted({*shares, *CURVE})

    def accuracies(count: Sequence[int]) -> list[float]:
        got = ranking.at(grid, rule.kept, thinking, count)
        low, high = _mean(standard, count), _mean(thinking, count)
        gain = [(each - low) / (high - low) if high > low else 0.0 for each in got]
        return [*got, *gain, sum(gain[grid.index(share)] for share in CURVE) / len(CURVE)]

    found = bootstrap(accuracies, len(standard), draws, seed)
    size = len(grid)
    gains = _mean(thinking, [1] * len(thinking)) > _mean(standard, [1] * len(standard))
    costs = _costs(rule, ranking, grid, spends, prices, checks if rule.samples else 0)
    points = {
        share: SharePoint(
            share=share,
            accuracy=found[place],
            pgr=found[size + place] if gains else None,
            tokens=costs[place][0],
            cost=costs[place][1],
        )
        for place, share in enumerate(grid)
    }
    return RuleFigures(
        name=rule.name,
        calls=rule.calls,
        points=tuple(points[share] for share in shares),
        curve=tuple(points[share] for share in CURVE),
        apgr=found[-1] if gains else None,
        cpt={
            f"{level:.0%}": next((share for share in CURVE if (pgr := points[share].pgr) and pgr.value >= level), None)
            for level in _LEVELS
        },
    )


def _costs(
    rule: _Rule,
    ranking: Ranking,
    grid: Sequence[float],
    spends: Sequence[Spend],
    prices: tuple[Price, Price] | None,
    checks: int,
) -> list[tuple[float | None, Money | None]]:
    """For each share: completion tokens as a share of always-thinking's, and the cost of a thousand questions."""
    nothing: list[tuple[float | None, Money | None]] = [(None, None)] * len(grid)
    if not all_known(spends):
        return nothing
    once, samples = [1] * len(spends), max(1, rule.samples)
    thought = [float(each.thinking or 0) for each in spends]
    plain = [each.kept_tokens(samples, checks) or 0.0 for each in spends]
    first = plain if rule.samples else [0.0] * len(plain)
    taken = [before + own for before, own in zip(first, thought, strict=True)]
    whole = sum(thought) / len(thought)
    tokens = [each / whole if whole else None for each in ranking.at(grid, plain, taken, once)]
    if prices is None:
        return [(each, None) for each in tokens]
    keep = [each.cost(prices, samples, think=False) or 0.0 for each in spends]
    think = [each.cost(prices, rule.samples, think=True) or 0.0 for each in spends]
    currency = prices[1].currency
    costs = [Money(round(1000 * each), currency) for each in ranking.at(grid, keep, think, once)]
    return list(zip(tokens, costs, strict=True))


def _notes(judged: Sequence[Judged], spends: Sequence[Spend], most: int) -> tuple[str, ...]:
    notes: list[str] = []
    if not all_known(spends):
        notes.append("tokens of both modes are not recorded of every row, so calls are counted instead of costs")
    if any(each.counted for each in spends):
        notes.append("lengths of standard answers were counted on their text: they are estimates")
    short = sum(len(each.beliefs) < most for each in judged)
    if short:
        notes.append(f"{short} rows have fewer than {most} samples; what was recorded of them is used")
    if most < MOST_SAMPLES:
        notes.append(f"at most {most} standard {'sample is' if most == 1 else 'samples are'} recorded of a question")
    if len(judged) < 200:
        notes.append(f"{len(judged)} rows say little: below 200 the intervals are wide")
    return tuple(notes)


def _mean(values: Sequence[float], count: Sequence[int]) -> float:
    return sum(value * times for value, times in zip(values, count, strict=True)) / max(1, sum(count))
