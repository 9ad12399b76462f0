"""A promise instead of a threshold: how much thinking may be left out so that accuracy lost stays below a limit.

Learn-then-test: every threshold on the gain is a hypothesis ("the loss is above the limit"), tested on labelled calls
in a fixed order from always thinking downwards, until the first one that cannot be refused. Because the order is fixed
beforehand, each is tested at the full level, and the chance that the threshold breaks the promise is at most
`1 - confidence`, whatever the distribution of questions is, as long as the labelled calls are drawn from it
independently.

The test of one threshold is exact. A call loses 1 where only thinking is right and the standard answer was accepted,
wins 1 in the opposite case, and is even otherwise; on how many calls the two differ is not known and is bounded first
(Clopper and Pearson's interval, at `_NUISANCE`), then the probability of so few losses is made as large as that bound
allows, and what the bound may miss is added (Berger and Boos, 1994).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift.errors import ConfigurationError

_NUISANCE: Final = 0.002
"""The chance that more calls differ than the bound on them says."""
_STEPS: Final = 100
"""Thresholds on the gain per unit; they are fixed before anything is seen."""
_GRID: Final = 3
"""Shares of calls that differ, between the one seen and its bound, at which the probability is worked out. It rises
with the share, so that the bound itself decides."""
_TAIL: Final = 9.0
"""Standard deviations beyond which a binomial has no weight worth counting: less than 1e-17."""
_MOST_LABELS: Final = 200_000


@dataclass(frozen=True, slots=True)
class LabelledCall:
    """One call of which it is known whether each mode was right."""

    gain: float
    """What thinking was believed to add, on all the evidence, when it was decided: -1 to 1."""
    kept_right: bool
    """Whether the standard answer that would have been given is right."""
    thinking_right: bool

    @property
    def loss(self) -> int:
        """What accepting it loses against thinking: 1, 0 or -1."""
        return self.thinking_right - self.kept_right


class RiskControl(BaseModel):
    """A threshold on the gain that keeps a promise, or how many more labels it takes."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    max_loss: float
    """The promise: at most so much accuracy is lost against always thinking."""
    confidence: float
    labels: int
    threshold: float | None
    """Escalate where the gain is at least this; `None`: the labels do not suffice to leave out any thinking."""
    thinking_share: float
    """Share of the labelled calls that think at this threshold."""
    loss: float
    """Accuracy lost on the labelled calls at this threshold; negative where the router did better."""
    loss_bound: float
    """Upper end of the one-sided interval of that loss, at `confidence`."""
    more_labels: int | None
    """Where there is no threshold: about how many more labelled calls like these it takes. `None`: more would not help,
    for what was lost is above the promise at every threshold."""

    @property
    def reason(self) -> str:
        """In a sentence, what holds or what is missing."""
        promise = f"at most {self.max_loss:.1%} of accuracy lost at {self.confidence:.0%} confidence"
        if self.threshold is not None:
            return (
                f"{promise} with {self.thinking_share:.0%} thinking calls, on {self.labels} labelled calls "
                f"(lost there: {self.loss:+.1%}, at most {self.loss_bound:+.1%})"
            )
        if self.more_labels is None:
            return f"{promise} cannot be kept by leaving out thinking, on {self.labels} labelled calls"
        return f"{promise} cannot be promised on {self.labels} labelled calls; about {self.more_labels} more are needed"


def control_quality_loss(calls: Iterable[LabelledCall], max_loss: float, *, confidence: float = 0.95) -> RiskControl:
    """The threshold that thinks least while at most `max_loss` of accuracy is lost against always thinking.

    Raises:
        ConfigurationError: `max_loss` or `confidence` is not between 0 and 1.
    """
    if not 0 < max_loss < 1:
        raise ConfigurationError(f"max_quality_loss is a share between 0 and 1, such as 0.02, not {max_loss!r}")
    if not 0.5 <= confidence <= 1 - 2 * _NUISANCE:
        raise ConfigurationError(f"the confidence is between 0.5 and {1 - 2 * _NUISANCE}, not {confidence!r}")
    ordered = sorted(calls, key=lambda call: call.gain)
    level, count = 1 - confidence, len(ordered)
    found: tuple[float, int, int, int] | None = None
    for threshold, accepted, lost, won in _steps(ordered):
        if accepted and loss_p_value(lost, won, count, max_loss) > level:
            break
        if accepted:
            found = threshold, accepted, lost, won
    more = None if found is not None else _more_labels(ordered, max_loss, level)
    _, accepted, lost, won = found if found is not None else (0.0, 0, 0, 0)
    return RiskControl(
        max_loss=max_loss,
        confidence=confidence,
        labels=count,
        threshold=None if found is None else found[0],
        thinking_share=1 - accepted / count if count else 1.0,
        loss=(lost - won) / count if count else 0.0,
        loss_bound=loss_bound(lost, won, count, confidence=confidence) if accepted else 0.0,
        more_labels=more,
    )


def loss_p_value(lost: int, won: int, count: int, max_loss: float) -> float:
    """The probability of so good a record as `lost` against `won` in `count` calls, were the true loss `max_loss`.

    An upper bound, exact but for the grid on which it is made largest; the hypothesis is refused where it is small.
    """
    if not count:
        return 1.0
    upper = _clopper_pearson(lost + won, count)
    least = max_loss
    if upper <= least:
        # So few calls differ that a loss of `max_loss` is only possible outside of their bound.
        return _NUISANCE
    middle = min(max((lost + won) / count, least), upper)
    points = {least, *(middle + (upper - middle) * place / _GRID for place in range(_GRID + 1))}
    return min(1.0, _NUISANCE + max(_at_most(lost - won, count, differ, max_loss) for differ in points))


def loss_bound(lost: int, won: int, count: int, *, confidence: float = 0.95) -> float:
    """The smallest loss that the record refuses at `confidence`: an upper bound of the true one, down to 0."""
    return _least(lambda loss: loss_p_value(lost, won, count, loss) <= 1 - confidence, 1e-6, 1 - 1e-6)


def _steps(ordered: Sequence[LabelledCall]) -> Iterable[tuple[float, int, int, int]]:
    """Thresholds from always thinking downwards: each with the calls accepted below it, those lost and those won."""
    accepted = lost = won = 0
    for step in range(-_STEPS, _STEPS + 1):
        threshold = step / _STEPS
        before = accepted
        while accepted < len(ordered) and ordered[accepted].gain < threshold:
            loss = ordered[accepted].loss
            lost, won, accepted = lost + (loss > 0), won + (loss < 0), accepted + 1
        if accepted > before:
            yield threshold, accepted, lost, won


def _more_labels(ordered: Sequence[LabelledCall], max_loss: float, level: float) -> int | None:
    """How many more calls like these until some threshold passes that leaves out a tenth of thinking."""
    count = len(ordered)
    if not count:
        return _least_labels(max_loss, level)
    wanted: list[int] = []
    for _, accepted, lost, won in _steps(ordered):
        if accepted >= count / 10 and (lost - won) / count < max_loss:
            size = float(count)
            while size < _MOST_LABELS:
                size *= 1.2
                part = size / count
                if loss_p_value(round(lost * part), round(won * part), round(size), max_loss) <= level:
                    wanted.append(round(size))
                    break
    if wanted:
        return max(1, min(wanted) - count)
    if count < _least_labels(max_loss, level):
        return _least_labels(max_loss, level) - count
    return None


def _least_labels(max_loss: float, level: float) -> int:
    """The fewest calls that can keep the promise, if none of them loses anything."""
    count = 1
    while loss_p_value(0, 0, count, max_loss) > level:
        count += max(1, count // 50)
    return count


def _clopper_pearson(seen: int, count: int) -> float:
    """The upper bound of a binomial share, at `_NUISANCE`."""
    if seen >= count:
        return 1.0
    return _least(lambda share: _binomial_at_most(seen, count, share) <= _NUISANCE, seen / count, 1.0)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest number between `low` and `high` for which `holds`, by bisection."""
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _at_most(balance: int, count: int, differ: float, loss: float) -> float:
    """The probability that losses less wins are at most `balance`.

    Each of `count` calls differs with probability `differ`; the true loss is `loss`.
    """
    worse = min(1.0, (differ + loss) / (2 * differ))
    if worse >= 1.0:
        # Every call that differs is a loss.
        return _binomial_at_most(balance, count, differ)
    spread = _TAIL * sqrt(count * differ * (1 - differ)) + _TAIL
    first = max(0, int(count * differ - spread))
    last = min(count, int(count * differ + spread) + 1)
    odds, fewest = differ / (1 - differ) if differ < 1 else 0.0, (balance + first) // 2
    total, most = 0.0, fewest
    below = _binomial_at_most(most, first, worse)
    """The probability that at most `most` of the calls that differ are losses."""
    here = _binomial(most, first, worse)
    """The probability that exactly `most` are."""
    share = _binomial(first, count, differ)
    """The probability that so many calls differ."""
    for differing in range(first, last + 1):
        if differing > first:
            below = max(0.0, below - worse * here)
            here = (
                _binomial(most, differing, worse)
                if here == 0.0
                else here * (1 - worse) * differing / (differing - most)
            )
            if (balance + differing) // 2 > most:
                most += 1
                here = _binomial(most, differing, worse)
                below += here
            share = share * odds * (count - differing + 1) / differing if odds else _binomial(differing, count, differ)
        total += share * min(1.0, below)
    return min(1.0, total)


def _binomial(hits: int, count: int, share: float) -> float:
    if hits < 0 or hits > count:
        return 0.0
    if share <= 0.0 or share >= 1.0:
        return float(hits == (count if share >= 1.0 else 0))
    ways = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
    return exp(ways + hits * log(share) + (count - hits) * log(1 - share))


def _binomial_at_most(hits: int, count: int, share: float) -> float:
    if hits < 0:
        return 0.0
    if hits >= count or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    # From the top downwards, until nothing is left to add.
    odds = (1 - share) / share
    each = total = _binomial(hits, count, share)
    for number in range(hits, 0, -1):
        each *= odds * number / (count - number + 1)
        total += each
        if each < total * 1e-12 and number < count * share:
            break
    return min(1.0, total)
