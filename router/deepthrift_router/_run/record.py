"""What is written down about a routed answer: the decision, the savings, the sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepthrift import Reply
from deepthrift_pricing import Money, Usage
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.evidence import Evidence
from deepthrift_router._belief.ladder import JointBelief
from deepthrift_router._decide.economy import LEAST_RECORDED
from deepthrift_router._record.decision import Decision, TokenLength
from deepthrift_router._record.savings import Savings, estimated_savings, measured_savings

if TYPE_CHECKING:
    from deepthrift_router._decide.route_plan import RoutePlan
    from deepthrift_router._decide.tiers import TierOffer


def decision_of(
    route_plan: RoutePlan,
    *,
    belief: Belief,
    reason: str,
    evidence: Sequence[Evidence] = (),
    missing: Sequence[str] = (),
    degraded: Sequence[str] = (),
    setting: str = "shipped",
    shadow: str | None = None,
    chances: JointBelief | None = None,
) -> Decision:
    """The record of a decision."""
    missing = [*missing]
    lengths = (route_plan.costs.length, *_lengths(route_plan))
    if any(length.source == "prior" for length in lengths):
        missing.append(
            f"lengths: fewer than {LEAST_RECORDED} calls of a mode are recorded, so the training data's are used"
        )
    if route_plan.costs.cached_share is None:
        missing.append("cache: no second call is recorded, so none of its prompt is taken to be cached")
    return Decision(
        policy=route_plan.preference.policy,
        plan=route_plan.plan,
        reason=reason,
        score=route_plan.score,
        p_standard=belief.p_standard,
        p_thinking=belief.p_thinking,
        plans=tuple(route_plan.plans.values()),
        evidence=tuple(evidence),
        missing=tuple(dict.fromkeys(missing)),
        degraded=tuple(dict.fromkeys(degraded)),
        value_of_right_answer=route_plan.value,
        value_source="default" if route_plan.preference.value is None else "given",
        max_cost=route_plan.preference.max_cost,
        threshold=route_plan.preference.threshold,
        budget_left=None if route_plan.room is None else route_plan.room.left,
        prompt_tokens=route_plan.costs.prompt_tokens,
        lengths=lengths,
        group_id=route_plan.request.group_id,
        setting=setting,
        shadow=shadow,
        tiers=_chances(route_plan, belief, chances),
    )


def _lengths(route_plan: RoutePlan) -> list[TokenLength]:
    """Of the tiers above the lowest; a specialist's were never part of it."""
    tiers = route_plan.tiers
    if route_plan.climb is None:
        return [tier.length for tier in tiers if tier.name == "thinking"]
    return list({id(tier.length): tier.length for tier in tiers}.values())


def _chances(route_plan: RoutePlan, belief: Belief, chances: JointBelief | None) -> dict[str, float]:
    """The chance of each tier that its answer is right."""
    base, climb = route_plan.base.name, route_plan.climb
    if climb is None:
        return {base: belief.p_standard, **{tier.name: belief.p_thinking for tier in route_plan.tiers}}
    joint = chances or climb.standing(belief).belief
    return {base: joint.p(0), **{tier.name: joint.p(tier.place) for tier in route_plan.tiers}}


def savings_of(
    route_plan: RoutePlan, spent: Money, first: Reply, thought: tuple[Reply, TierOffer] | None, *, passes: int
) -> Savings:
    """What was saved against always thinking: measured where thinking ran, else estimated from recorded calls."""
    tier = route_plan.top
    if tier is None:
        return Savings.unknown(spent, f"there is no thinking to compare with: {route_plan.no_thinking}")
    if thought is None or thought[1].name != route_plan.last:
        return estimated_savings(spent, tier.recorded, first.usage, tier.price, passes=passes)
    thinking = thought[0]
    if thinking.mode != tier.mode:
        return Savings.unknown(spent, f"{tier.mode} was asked for, but {thinking.mode} mode ran")
    settled = [attempt for attempt in thinking.attempts if attempt.status == "settled" and attempt.usage is not None]
    if not settled:
        return Savings.unknown(spent, "what thinking used is not exactly known")
    usage = Usage.sum(attempt.usage for attempt in settled)
    return measured_savings(spent, usage, first.usage, tier.price, passes=passes)
