"""Expected utility: which plan to begin with, and what to do next once there is an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from deepthrift_pricing import Currency, Money
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Score
from deepthrift_router._belief.verification import Prospect, second_prospects
from deepthrift_router._decide.economy import Costs, Spread
from deepthrift_router._decide.tiers import TierOffer
from deepthrift_router._record.decision import PlanCost, PlanName

Action: TypeAlias = Literal["accept", "escalate", "sample"]

VALUE_IN_THINKING_CALLS: Final = 10
"""Without a stated preference a right answer is taken to be worth so many thinking calls: thinking then pays from a
gain of one in ten."""


@dataclass(frozen=True, slots=True)
class Utilities:
    """What is at stake in one decision, in 10⁻¹² of the currency."""

    value: float
    """Of a right answer."""
    sample: float
    escalation: float
    can_sample: bool
    can_think: bool
    up: Callable[[Belief], float] | None = None
    """The expected utility of the best tier to escalate to; `None`: there is one, and it is what thinking is."""


def next_action(
    belief: Belief, values: Utilities, prospects: Sequence[Prospect] = ()
) -> tuple[Action, dict[Action, float]]:
    """The action of the highest expected utility, with the utility of each that is possible.

    A further sample is only worth its price as far as it can change what is done next; what a third one could change is
    part of the value of the second.
    """
    utilities: dict[Action, float] = {"accept": _accept(belief, values)}
    if values.can_think:
        utilities["escalate"] = _escalate(belief, values)
        if values.can_sample and prospects:
            utilities["sample"] = _sample(values, prospects)
    best = max(utilities, key=lambda action: utilities[action])
    return best, utilities


def _accept(belief: Belief, values: Utilities) -> float:
    return values.value * belief.p_standard


def _escalate(belief: Belief, values: Utilities) -> float:
    if values.up is not None:
        return values.up(belief)
    return values.value * belief.p_thinking - values.escalation


def _sample(values: Utilities, prospects: Sequence[Prospect]) -> float:
    return -values.sample + sum(
        each.chance * max(next_action(each.after, values, each.further)[1].values()) for each in prospects
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """A piece of evidence that can be bought: what it costs, in 10⁻¹² of the currency, and how it may come out."""

    name: str
    cost: float
    prospects: Sequence[Prospect]


def best_step(belief: Belief, values: Utilities, offers: Sequence[Offer]) -> tuple[str, dict[str, float]]:
    """`accept`, `escalate`, or the name of the offer to buy; with the utility of each.

    Evidence is bought only if what it can change is worth more than it costs; of several such pieces the one first that
    is worth most for its price, for the others can still be bought after it.
    """
    utilities: dict[str, float] = {str(name): worth for name, worth in next_action(belief, values)[1].items()}
    now = max(utilities.values())
    best, ratio = max(utilities, key=lambda name: utilities[name]), 0.0
    if not values.can_think:
        return best, utilities
    for offer in offers:
        if not offer.prospects:
            continue
        worth = _expected(values, offer.prospects) - now
        utilities[offer.name] = now + worth - offer.cost
        if worth > offer.cost and worth / max(offer.cost, 1e-9) > ratio:
            best, ratio = offer.name, worth / max(offer.cost, 1e-9)
    return best, utilities


def _expected(values: Utilities, prospects: Sequence[Prospect]) -> float:
    return sum(each.chance * max(next_action(each.after, values, each.further)[1].values()) for each in prospects)


def plan_costs(
    score: Score,
    costs: Costs,
    tiers: Sequence[TierOffer],
    value: float,
    likelihoods: Likelihoods,
    per_second: float = 0.0,
    *,
    always_sample: bool,
) -> dict[PlanName, PlanCost]:
    """What each plan is expected to cost and to be worth, as if nothing stood in its way."""
    currency = costs.worst_standard.currency
    belief = score.belief
    ahead = second_prospects(belief, "any", likelihoods, score.weight, 2)

    def price_of(tier: TierOffer) -> float:
        return tier.escalation.expected + per_second * (tier.seconds or 0.0)

    def plan(
        name: PlanName,
        cost: Spread,
        most: Money,
        p_right: float,
        seconds: float | None,
        bought: tuple[float, float] = (0.0, 0.0),
    ) -> PlanCost:
        return PlanCost(
            plan=name,
            cost=_money(cost.expected, currency),
            low=_money(cost.low, currency),
            high=_money(cost.high, currency),
            worst=most,
            p_right=p_right,
            utility=_money(value * p_right - cost.expected - per_second * (seconds or 0.0), currency),
            seconds=seconds,
            sampled=bought[0],
            escalated=bought[1],
        )

    plans: dict[PlanName, PlanCost] = {
        "standard": plan("standard", costs.standard, costs.worst_standard, belief.p_standard, costs.seconds)
    }
    if tiers:
        up = min(tiers, key=price_of)
        sample = costs.sample.expected + per_second * (costs.seconds or 0.0)
        values = Utilities(value, sample, price_of(up), True, True)
        sampled, escalated, right = _cascade(belief, values, ahead, always_sample)
        cascade = costs.standard + costs.sample.times(sampled) + up.escalation.times(escalated)
        worst = costs.worst_standard * (2 if sampled else 1) + up.worst
        seconds = None
        if costs.seconds is not None and up.seconds is not None:
            seconds = costs.seconds * (1 + sampled) + up.seconds * escalated
        plans["cascade"] = plan("cascade", cascade, worst, right, seconds, (sampled, escalated))
    for tier in tiers:
        plans[tier.name] = plan(tier.name, tier.first, tier.worst, belief.p_thinking, tier.seconds, (0.0, 1.0))
    return plans


def _cascade(
    belief: Belief, values: Utilities, ahead: Sequence[Prospect], always_sample: bool
) -> tuple[float, float, float]:
    """Of a cascade: the chances of a second sample, of an escalation, and of a right answer."""
    action, _ = next_action(belief, values, ahead)
    if always_sample and ahead:
        action = "sample"
    if action == "accept" or not ahead:
        return 0.0, 0.0, belief.p_standard
    if action == "escalate":
        return 0.0, 1.0, belief.p_thinking
    escalated = right = 0.0
    for each in ahead:
        after = each.after
        # The fixed rule escalates whenever the samples do not agree: whenever the answer looks worse than before.
        if always_sample:
            think = after.p_standard < belief.p_standard
        else:
            think = _escalate(after, values) > _accept(after, values)
        escalated += each.chance * think
        right += each.chance * (after.p_thinking if think else after.p_standard)
    return 1.0, escalated, right


def _money(amount: float, currency: Currency) -> Money:
    return Money(round(amount), currency)
