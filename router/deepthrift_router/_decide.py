"""Expected utility: which plan to begin with, and what to do next once there is an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from deepthrift_pricing import Currency, Money
from deepthrift_router._belief import Belief
from deepthrift_router._decision import PlanCost, PlanName
from deepthrift_router._economy import Costs, Spread
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._prior import Score
from deepthrift_router._verification import Prospect, second_prospects

Action: TypeAlias = Literal["accept", "escalate", "sample"]

VALUE_IN_THINKING_CALLS: Final = 10
"""Without a stated preference a right answer is taken to be worth so many thinking calls: thinking then pays from a
gain of one in ten."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """What is at stake in one decision, in 10⁻¹² of the currency."""

    value: float
    """Of a right answer."""
    sample: float
    escalation: float
    can_sample: bool
    can_think: bool


def next_action(
    belief: Belief, stakes: Stakes, prospects: Sequence[Prospect] = ()
) -> tuple[Action, dict[Action, float]]:
    """The action of the highest expected utility, with the utility of each that is possible.

    A further sample is only worth its price as far as it can change what is done next; what a third one could change is
    part of the value of the second.
    """
    utilities: dict[Action, float] = {"accept": _accept(belief, stakes)}
    if stakes.can_think:
        utilities["escalate"] = _escalate(belief, stakes)
        if stakes.can_sample and prospects:
            utilities["sample"] = _sample(stakes, prospects)
    best = max(utilities, key=lambda action: utilities[action])
    return best, utilities


def _accept(belief: Belief, stakes: Stakes) -> float:
    return stakes.value * belief.p_standard


def _escalate(belief: Belief, stakes: Stakes) -> float:
    return stakes.value * belief.p_thinking - stakes.escalation


def _sample(stakes: Stakes, prospects: Sequence[Prospect]) -> float:
    return -stakes.sample + sum(
        each.chance * max(next_action(each.after, stakes, each.further)[1].values()) for each in prospects
    )


def plan_costs(
    score: Score, costs: Costs, value: float, likelihoods: Likelihoods, *, always_sample: bool
) -> dict[PlanName, PlanCost]:
    """What each plan is expected to cost and to be worth, as if nothing stood in its way."""
    currency = costs.worst_standard.currency
    belief = score.belief
    ahead = second_prospects(belief, "any", likelihoods, score.weight, 2)
    stakes = Stakes(value, costs.sample.expected, costs.escalation.expected, True, True)
    sampled, escalated, right = _cascade(belief, stakes, ahead, always_sample)
    cascade = costs.standard + costs.sample.times(sampled) + costs.escalation.times(escalated)
    worst = costs.worst_standard * (2 if sampled else 1) + costs.worst_thinking

    def plan(name: PlanName, cost: Spread, most: Money, p_right: float) -> PlanCost:
        return PlanCost(
            plan=name,
            cost=_money(cost.expected, currency),
            low=_money(cost.low, currency),
            high=_money(cost.high, currency),
            worst=most,
            p_right=p_right,
            utility=_money(value * p_right - cost.expected, currency),
        )

    return {
        "standard": plan("standard", costs.standard, costs.worst_standard, belief.p_standard),
        "cascade": plan("cascade", cascade, worst, right),
        "thinking": plan("thinking", costs.thinking, costs.worst_thinking, belief.p_thinking),
    }


def _cascade(
    belief: Belief, stakes: Stakes, ahead: Sequence[Prospect], always_sample: bool
) -> tuple[float, float, float]:
    """Of a cascade: the chances of a second sample, of an escalation, and of a right answer."""
    action, _ = next_action(belief, stakes, ahead)
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
            think = _escalate(after, stakes) > _accept(after, stakes)
        escalated += each.chance * think
        right += each.chance * (after.p_thinking if think else after.p_standard)
    return 1.0, escalated, right


def _money(amount: float, currency: Currency) -> Money:
    return Money(round(amount), currency)
