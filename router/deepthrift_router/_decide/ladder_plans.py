"""What each plan on a ladder of several tiers is expected to cost and to be worth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from deepthrift_pricing import Money
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Score
from deepthrift_router._belief.verification import second_prospects
from deepthrift_router._decide.climb import Climb, Prospect, TierCall
from deepthrift_router._decide.decide import Utilities, next_action
from deepthrift_router._decide.economy import Costs, Spread
from deepthrift_router._decide.tiers import TierOffer
from deepthrift_router._record.decision import PlanCost, PlanName


def ladder_plans(
    score: Score,
    costs: Costs,
    base: str,
    tiers: Sequence[TierOffer],
    climb: Climb,
    likelihoods: Likelihoods,
    per_second: float,
    *,
    always_sample: bool,
) -> dict[PlanName, PlanCost]:
    """The lowest tier alone, the cascade from it, and each higher tier as the first call, as if all were in reach.

    A plan that begins at a tier counts what may follow it.
    """
    currency, value = costs.worst_standard.currency, climb.value
    wait = per_second * (costs.seconds or 0.0)
    calls = [_call(tier, per_second) for tier in tiers]

    def plan(
        name: PlanName,
        ahead: Prospect,
        spread: Spread,
        worst: Money,
        bought: tuple[float, float],
        seconds: float | None,
    ) -> PlanCost:
        scale = ahead.money / spread.expected if spread.expected else 1.0
        return PlanCost(
            plan=name,
            cost=Money(round(ahead.money), currency),
            low=Money(round(spread.low * scale), currency),
            high=Money(round(spread.high * scale), currency),
            worst=worst,
            p_right=ahead.right,
            utility=Money(round(ahead.utility(value)), currency),
            seconds=seconds,
            sampled=bought[0],
            escalated=bought[1],
        )

    alone = Prospect(score.belief.p_standard, costs.standard.expected + wait, costs.standard.expected, 0.0)
    plans = {base: plan(base, alone, costs.standard, costs.worst_standard, (0.0, 0.0), costs.seconds)}
    if tiers:
        cascade, sampled = _cascade(score, costs, calls, climb, likelihoods, wait, always_sample=always_sample)
        worst = costs.worst_standard * (2 if sampled else 1)
        for tier in tiers:
            worst += tier.worst
        plans["cascade"] = plan("cascade", cascade, costs.standard, worst, (sampled, min(1.0, cascade.calls)), None)
    for number, tier in enumerate(tiers):
        first = TierCall(tier.place, tier.first.expected + per_second * (tier.seconds or 0.0), tier.first.expected)
        ahead = climb.call(climb.standing(score.belief), first, calls[number + 1 :])
        plans[tier.name] = plan(tier.name, ahead, tier.first, tier.worst, (0.0, 1.0), tier.seconds)
    return plans


def _call(tier: TierOffer, per_second: float) -> TierCall:
    cost = tier.escalation.expected
    return TierCall(tier.place, cost + per_second * (tier.seconds or 0.0), cost)


def _cascade(
    score: Score,
    costs: Costs,
    calls: Sequence[TierCall],
    climb: Climb,
    likelihoods: Likelihoods,
    wait: float,
    *,
    always_sample: bool,
) -> tuple[Prospect, float]:
    """What verifying the lowest tier's answer comes to, and the chance of a second sample."""
    belief, first, sample = score.belief, costs.standard.expected, costs.sample.expected
    ahead = second_prospects(belief, "any", likelihoods, score.weight, 2)
    standing = climb.standing(belief, ((0,),))
    _, plain = climb.next_call(standing, calls)

    values = Utilities(climb.value, sample + wait, 0.0, True, True, cache(partial(climb.worth_of_going_up, calls)))
    action = "sample" if always_sample and ahead else next_action(belief, values, ahead)[0]
    if action != "sample":
        return Prospect(plain.right, first + wait + plain.price, first + plain.money, plain.calls), 0.0
    right, price, money, further = 0.0, first + sample + 2 * wait, first + sample, 0.0
    for each in ahead:
        after = climb.next_call(climb.standing(each.after, ((0,),)), calls)[1]
        right += each.chance * after.right
        price += each.chance * after.price
        money += each.chance * after.money
        further += each.chance * after.calls
    return Prospect(right, price, money, further), 1.0
