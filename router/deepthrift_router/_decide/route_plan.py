"""Before the first call: what is believed, what each step would cost, what may be spent, and the plan that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Mode, Money, utc_now
from deepthrift_pricing.shared.bookings import in_event_loop
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Prior, Score, Scorer
from deepthrift_router._calls.budget_status import read_statuses
from deepthrift_router._calls.request import Request
from deepthrift_router._decide.decide import VALUE_IN_THINKING_CALLS, Utilities, plan_costs
from deepthrift_router._decide.economy import Costs, Room, cost_of, expected_length, room_for
from deepthrift_router._decide.history import History
from deepthrift_router._decide.share import ShareControl
from deepthrift_router._decide.tiers import Tier, bound_of, rung_of, specialist_rung
from deepthrift_router._record.changes import Change
from deepthrift_router._record.decision import PlanCost, PlanName, RoutePolicy

if TYPE_CHECKING:
    from deepthrift import AsyncClient

FAMILIAR: Final = 0.5
"""Weight of the prior from which it may send a question to thinking unseen; below, the plan relies on verification."""


@dataclass(frozen=True, slots=True)
class Preference:
    """What the user wants of routing, with every word of it resolved."""

    policy: RoutePolicy
    value: Money | None
    max_cost: Money | None
    max_samples: int
    value_of_second: Money | None = None
    deadline: float | None = None
    draft_as_hint: bool = False
    race: bool = False
    threshold: float | None = None
    """Escalate from this gain on, whatever it costs: set by a target share or a bound on the quality lost."""
    promise: str = ""
    """Where the threshold comes from, in words."""
    change: Change | None = None
    """The latest change of the model behind the name."""
    suspended: tuple[str, ...] = ()
    """Promises that do not hold since the model has changed, in words."""
    share: ShareControl | None = None
    """What hears whether an answer was escalated, where a target share sets the threshold."""

    @property
    def per_second(self) -> float:
        """The price of a second, in 10⁻¹² of the currency."""
        return 0.0 if self.value_of_second is None else float(self.value_of_second.pico)


@dataclass(slots=True)
class RoutePlan:
    """What is known before the first call."""

    request: Request
    preference: Preference
    score: Score
    costs: Costs
    tiers: list[Tier]
    """What can be escalated to, thinking first."""
    value: Money
    room: Room | None
    plans: dict[PlanName, PlanCost]
    no_thinking: str | None
    """Why thinking cannot be used at all, or `None`."""
    plan: PlanName = "standard"
    reason: str = ""
    degraded: list[str] = field(default_factory=list[str])

    @property
    def thinking(self) -> Tier | None:
        """The tier of thinking, if it can be used."""
        return next((tier for tier in self.tiers if tier.name == "thinking"), None)

    def values(
        self, *, spent: Money, samples: int, room: Room | None, draft_tokens: int, left: float | None = None
    ) -> tuple[Utilities, Tier | None, str | None]:
        """What is at stake after `spent`, what to escalate to, and why nothing is in reach if so.

        A second sample is expected to be as long as the first was: `draft_tokens`. `left`: seconds to the deadline.
        """
        tier, short = self.reach(spent, room, left)
        worst = self.costs.worst_standard
        can_sample = (
            tier is not None
            and samples < self.preference.max_samples
            and self.short_of(worst + tier.worst, spent, room) is None
        )
        escalation = self.price_of(tier) if tier is not None else 0.0
        sample = self.costs.sample_like(draft_tokens) + self.preference.per_second * (self.costs.seconds or 0.0)
        return Utilities(float(self.value.pico), sample, escalation, can_sample, tier is not None), tier, short

    def price_of(self, tier: Tier) -> float:
        """What escalating to `tier` is expected to cost, waiting included, in 10⁻¹² of the currency."""
        return tier.escalation.expected + self.preference.per_second * (tier.seconds or 0.0)

    def reach(
        self, spent: Money, room: Room | None, left: float | None, *, tried: Sequence[str] = ()
    ) -> tuple[Tier | None, str | None]:
        """The cheapest tier in reach, or `None` and why there is none."""
        short = self.no_thinking
        found: Tier | None = None
        for tier in self.tiers:
            if tier.name in tried:
                continue
            where = room if tier.name == "thinking" else room_now(tier.client, self.request, "thinking")
            problem = self.short_of(tier.worst, spent, where) or self.late_for(tier, left)
            if problem is not None:
                short = short or problem
            elif found is None or self.price_of(tier) < self.price_of(found):
                found = tier
        return (found, None) if found is not None else (None, short or "everything was tried")

    def late_for(self, tier: Tier, left: float | None) -> str | None:
        """Why `tier` cannot end in time, or `None`; where no seconds are on record, it is tried."""
        if left is None or tier.seconds is None or tier.seconds <= left:
            return None
        return f"it takes {tier.seconds:.1f} seconds here, and {max(0.0, left):.1f} are left"

    def short_of(self, worst: Money, spent: Money, room: Room | None) -> str | None:
        """Why a call of this worst case is out of reach after `spent`, or `None`."""
        if room is not None and worst > room.left:
            return f"its worst case of {worst} does not fit the budget {room.budget!r}, which has {room.left} left"
        limit = self.preference.max_cost
        if limit is not None and spent + worst > limit:
            return f"its worst case of {worst} would pass max_cost={limit.amount:f}; a lower max_tokens lowers it"
        return None


def look_out(
    client: AsyncClient,
    request: Request,
    preference: Preference,
    scorer: Scorer,
    likelihoods: Likelihoods,
    specialist: AsyncClient | None = None,
    history: History | None = None,
) -> RoutePlan:
    """The plan for `request`. No call is made.

    Raises:
        DeepthriftError: The request is wrong, has no price, or cannot keep `max_cost`; nothing was sent.
    """
    timed = preference.value_of_second is not None or preference.deadline is not None
    history = history or History()
    costs, thinking = _costs(client, request, history, timed=timed)
    tiers: list[Tier] = [] if isinstance(thinking, str) else [thinking]
    other = specialist_rung(specialist, request, Prior.builtin(), history, timed=timed)
    if isinstance(other, Tier):
        tiers.append(other)
    _check_max_cost(preference, costs, tiers)
    # After the client has checked that the messages are in order.
    score = scorer.score(request.messages)
    value = preference.value
    if value is None:
        dear = tiers[0].first.expected if tiers else costs.standard.expected
        value = Money(max(1, round(VALUE_IN_THINKING_CALLS * dear)), costs.worst_standard.currency)
    always = preference.policy == "cascade" or preference.threshold is not None
    plans = plan_costs(score, costs, tiers, float(value.pico), likelihoods, preference.per_second, always_sample=always)
    for each in (client, *(tier.client for tier in tiers)):
        if not in_event_loop() and each.ledger.budgets:
            read_statuses(each.ledger)
    route_plan = RoutePlan(
        request=request,
        preference=preference,
        score=score,
        costs=costs,
        tiers=tiers,
        value=value,
        room=room_now(client, request, "thinking" if tiers else "standard"),
        plans=plans,
        no_thinking=thinking if isinstance(thinking, str) else None,
    )
    route_plan.degraded += preference.suspended
    if isinstance(other, str):
        route_plan.degraded.append(f"specialist: {other}")
    _choose(route_plan)
    return route_plan


def _check_max_cost(preference: Preference, costs: Costs, tiers: Sequence[Tier]) -> None:
    """Refuses a `max_cost` that not even the first call is sure to keep."""
    first = next((tier.worst for tier in tiers if tier.name == preference.policy), costs.worst_standard)
    if preference.max_cost is not None and first > preference.max_cost:
        raise BudgetExceeded(
            f"the worst case of the first call, {first}, is above max_cost={preference.max_cost.amount:f}; "
            "lower max_tokens or raise max_cost",
            needed=first,
        )


def room_now(client: AsyncClient, request: Request, mode: Mode) -> Room | None:
    """The least room among the budgets in scope of a call in `mode`, now."""
    return room_for(
        client.ledger,
        host=client.host.name,
        model=client.host.model_for(mode, client.model),
        mode=mode,
        tags={**client.tags, **request.tags},
        call_id="",
        group_id=request.group_id,
    )


def _costs(client: AsyncClient, request: Request, history: History, *, timed: bool) -> tuple[Costs, Tier | str]:
    """The costs of a standard call and of a sample, and the tier of thinking or why it cannot be asked for."""
    prior, host, ledger = Prior.builtin(), client.host, client.ledger
    asked = request.standard(host)
    standard = bound_of(client, asked, request.prepared)
    plain = host.model_for("standard", client.model)
    price = client.prices.find(
        host=host.name, model=plain, mode="standard", at=utc_now(), currency=standard.worst.currency
    )
    length = expected_length("standard", history.calls(ledger, host, plain, "standard"), prior, standard.max_tokens)
    share = history.cached_share(ledger, host, plain)
    costs = Costs(
        standard=cost_of(price, standard.prompt_tokens, length, 0.0),
        sample=cost_of(price, standard.prompt_tokens, length, share or 0.0),
        worst_standard=standard.worst,
        standard_price=price,
        prompt_tokens=standard.prompt_tokens,
        length=length,
        cached_share=share,
        seconds=history.seconds(ledger, host, plain, "standard") if timed else None,
    )
    return costs, rung_of("thinking", client, request, prior, history, share, timed=timed)


def _choose(route_plan: RoutePlan) -> None:
    """Sets the plan, its reason, and what had to be given up."""
    policy, plans, preference = route_plan.preference.policy, route_plan.plans, route_plan.preference
    zero = Money.zero(route_plan.value.currency)
    tier, short = route_plan.reach(zero, route_plan.room, preference.deadline)
    if policy in ("thinking", "specialist"):
        route_plan.plan, route_plan.reason = policy, f"the policy is {'to think' if policy == 'thinking' else policy}"
        return
    if policy == "standard":
        route_plan.plan, route_plan.reason = "standard", "the policy is standard mode"
        return
    if tier is None:
        for name in ("cascade", "thinking", "specialist"):
            _rule_out(plans, name, short or "")
        route_plan.plan, route_plan.reason = "standard", f"standard mode only, for thinking is out of reach: {short}"
        route_plan.degraded.append(f"thinking: {short}")
        return
    if preference.threshold is not None:
        route_plan.plan, route_plan.reason = "cascade", preference.promise
        return
    if policy == "cascade":
        route_plan.plan, route_plan.reason = (
            "cascade",
            "the policy is to verify the standard answer and escalate if it fails",
        )
        return
    for each in route_plan.tiers:
        problem = route_plan.short_of(each.worst, zero, route_plan.room) or route_plan.late_for(
            each, preference.deadline
        )
        if problem is not None:
            _rule_out(plans, each.name, problem)
    if route_plan.score.weight < FAMILIAR:
        _rule_out_rungs(plans, "the question is unlike the training data, so an answer is verified first")
    elif any(length.source == "prior" for length in (route_plan.costs.length, tier.length)):
        _rule_out_rungs(plans, "the lengths of both modes are not on record yet, so an answer is verified first")
    # Whether both calls fit is seen again after the first, whose real cost is mostly far below its worst case.
    _rule_out(plans, "standard", "a cascade may stop after its first answer, too, so it is never worse")
    best = max((plan for plan in plans.values() if plan.possible), key=lambda plan: plan.utility)
    route_plan.plan = best.plan
    route_plan.reason = _why(route_plan.score.belief, best)


def _rule_out_rungs(plans: dict[PlanName, PlanCost], note: str) -> None:
    for name in ("thinking", "specialist"):
        _rule_out(plans, name, note)


def _rule_out(plans: dict[PlanName, PlanCost], name: PlanName, note: str) -> None:
    if name in plans and plans[name].possible:
        plans[name] = plans[name].model_copy(update={"possible": False, "note": note})


def _why(belief: Belief, best: PlanCost) -> str:
    gain = f"thinking is expected to add {belief.gain:+.2f} to the chance of a right answer"
    if best.plan in ("thinking", "specialist"):
        which = "thinking" if best.plan == "thinking" else "the specialist"
        return f"{which} at once has the highest expected utility: {gain}"
    return f"standard first, verified before thinking is bought: {gain}"
