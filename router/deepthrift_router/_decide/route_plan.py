"""Before the first call: what is believed, what each step would cost, what may be spent, and the plan that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Mode, Money, utc_now
from deepthrift_pricing.shared.bookings import in_event_loop
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Prior, Score, Scorer
from deepthrift_router._calls.budget_status import read_statuses
from deepthrift_router._calls.request import Request
from deepthrift_router._decide.climb import Climb, TierCall
from deepthrift_router._decide.decide import VALUE_IN_THINKING_CALLS, Utilities, plan_costs
from deepthrift_router._decide.economy import Costs, Room, cost_of, expected_length, length_at_effort, room_for
from deepthrift_router._decide.history import History
from deepthrift_router._decide.ladder import Ladder, LadderTier
from deepthrift_router._decide.ladder_plans import ladder_plans
from deepthrift_router._decide.offers import climb_of, offers_of
from deepthrift_router._decide.share import ShareControl
from deepthrift_router._decide.tiers import TierOffer, bound_of
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
    base: LadderTier
    """The lowest tier: the one whose answer is verified."""
    tiers: list[TierOffer]
    """What can be escalated to, in the order of the ladder."""
    value: Money
    room: Room | None
    plans: dict[PlanName, PlanCost]
    no_thinking: str | None
    """Why no tier above the lowest one can be used, or `None`."""
    climb: Climb | None = None
    """How to go up a ladder whose tiers differ in their chances; `None`: all tiers above the lowest are alike."""
    last: str = "thinking"
    """The name of the tier that savings and audits compare with: the highest one of a ladder."""
    plan: PlanName = "standard"
    reason: str = ""
    degraded: list[str] = field(default_factory=list[str])

    @property
    def top(self) -> TierOffer | None:
        """The tier that savings and audits compare with, if it can be used."""
        return next((tier for tier in self.tiers if tier.name == self.last), None)

    def values(
        self,
        *,
        spent: Money,
        samples: int,
        room: Room | None,
        draft_tokens: int,
        left: float | None = None,
        comparable: bool = True,
    ) -> tuple[Utilities, TierOffer | None, str | None]:
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
        values = Utilities(float(self.value.pico), sample, escalation, can_sample, tier is not None)
        if self.climb is not None and tier is not None:
            climb = replace(self.climb, comparable=comparable)
            values = replace(values, up=cache(partial(climb.worth_of_going_up, self.calls(spent, room, left))))
        return values, tier, short

    def calls(
        self, spent: Money, room: Room | None, left: float | None, *, above: int = 0, first: bool = False
    ) -> list[TierCall]:
        """The tiers above the one at `above` that are in reach, the lowest first."""
        found: list[TierCall] = []
        for tier in self.tiers:
            if tier.place <= above or self.out_of_reach(tier, spent, room, left) is not None:
                continue
            cost = tier.first.expected if first else tier.escalation.expected
            found.append(TierCall(tier.place, cost + self.preference.per_second * (tier.seconds or 0.0), cost))
        return found

    def at(self, place: int) -> TierOffer:
        """The tier at `place` of the ladder, above the lowest."""
        return next(tier for tier in self.tiers if tier.place == place)

    def best_up(
        self, belief: Belief, spent: Money, room: Room | None, left: float | None, *, comparable: bool = True
    ) -> TierOffer | None:
        """The tier to escalate the lowest one's answer to: the one of the highest expected utility in reach.

        Under a threshold it's the highest one, which the threshold was made for.
        """
        if self.climb is None:
            return self.reach(spent, room, left)[0]
        calls = self.calls(spent, room, left)
        if not calls:
            return None
        if self.preference.threshold is not None:
            return self.at(calls[-1].tier)
        climb = replace(self.climb, comparable=comparable)
        return self.at(climb.way_up(calls, belief)[0].tier)

    def price_of(self, tier: TierOffer) -> float:
        """What escalating to `tier` is expected to cost, waiting included, in 10⁻¹² of the currency."""
        return tier.escalation.expected + self.preference.per_second * (tier.seconds or 0.0)

    def reach(
        self, spent: Money, room: Room | None, left: float | None, *, tried: Sequence[str] = ()
    ) -> tuple[TierOffer | None, str | None]:
        """The cheapest tier in reach, or `None` and why there is none."""
        short = self.no_thinking
        found: TierOffer | None = None
        for tier in self.tiers:
            if tier.name in tried:
                continue
            problem = self.out_of_reach(tier, spent, room, left)
            if problem is not None:
                short = short or problem
            elif found is None or self.price_of(tier) < self.price_of(found):
                found = tier
        return (found, None) if found is not None else (None, short or "everything was tried")

    def out_of_reach(self, tier: TierOffer, spent: Money, room: Room | None, left: float | None) -> str | None:
        """Why `tier` cannot be called after `spent`, or `None`; `room` is that of the lowest tier's own endpoint."""
        shared = tier.tier.same_room_as(self.base)
        where = room if shared else room_now(tier.client, self.request, tier.mode)
        return self.short_of(tier.worst, spent, where) or self.late_for(tier, left)

    def late_for(self, tier: TierOffer, left: float | None) -> str | None:
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
    base: LadderTier,
    uppers: Sequence[LadderTier],
    request: Request,
    preference: Preference,
    scorer: Scorer,
    likelihoods: Likelihoods,
    ladder: Ladder | None = None,
    history: History | None = None,
) -> RoutePlan:
    """The plan for `request`, whose lowest tier is `base`. No call is made.

    Raises:
        DeepthriftError: The request is wrong, has no price, or cannot keep `max_cost`; nothing was sent.
    """
    client = base.client
    timed = preference.value_of_second is not None or preference.deadline is not None
    history = history or History()
    costs = _costs(base, request, history, timed=timed)
    tiers, problems = offers_of(base, uppers, request, history, costs, timed=timed)
    _check_max_cost(preference, costs, tiers)
    # After the client has checked that the messages are in order.
    score = scorer.score(request.messages)
    last = uppers[-1].name if ladder is not None else "thinking"
    value = preference.value
    if value is None:
        dear = tiers[-1 if ladder is not None else 0].first.expected if tiers else costs.standard.expected
        value = Money(max(1, round(VALUE_IN_THINKING_CALLS * dear)), costs.worst_standard.currency)
    always = preference.policy == "cascade" or preference.threshold is not None
    climb = None if ladder is None else climb_of(ladder, costs, tiers, float(value.pico), score)
    if climb is None:
        plans = plan_costs(
            score, costs, tiers, float(value.pico), likelihoods, preference.per_second, always_sample=always
        )
    else:
        per_second = preference.per_second
        plans = ladder_plans(score, costs, base.name, tiers, climb, likelihoods, per_second, always_sample=always)
    for each in (client, *(tier.client for tier in tiers)):
        if not in_event_loop() and each.ledger.budgets:
            read_statuses(each.ledger)
    room_mode: Mode = "thinking" if ladder is None else tiers[-1].mode if tiers else base.mode
    route_plan = RoutePlan(
        request=request,
        preference=preference,
        score=score,
        costs=costs,
        base=base,
        tiers=tiers,
        value=value,
        room=room_now(client, request, room_mode if tiers else base.mode),
        plans=plans,
        no_thinking=problems.get(uppers[0].name)
        if ladder is None
        else None
        if tiers
        else next(iter(problems.values())),
        climb=climb,
        last=last,
        plan=base.name,
    )
    route_plan.degraded += preference.suspended
    for name, problem in problems.items():
        if ladder is not None or name != uppers[0].name:
            route_plan.degraded.append(f"{name}: {problem}")
    _choose(route_plan)
    return route_plan


def _check_max_cost(preference: Preference, costs: Costs, tiers: Sequence[TierOffer]) -> None:
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


def _costs(base: LadderTier, request: Request, history: History, *, timed: bool) -> Costs:
    """The costs of a call of the lowest tier, and of a further sample of it."""
    client, mode = base.client, base.mode
    prior, host, ledger = Prior.builtin(), client.host, client.ledger
    spec = request.call(host, mode, effort=base.effort)
    bound = bound_of(client, spec, request.prepared)
    price = client.prices.find(host=host.name, model=base.model, mode=mode, at=utc_now(), currency=bound.worst.currency)
    length = expected_length(
        mode, history.calls(ledger, host, base.model, mode, spec.options.get("effort")), prior, bound.max_tokens
    )
    if base.effort is not None:
        answer = expected_length("standard", (), prior, bound.max_tokens).expected
        length = length_at_effort(length, base.effort, answer, bound.max_tokens)
    share = history.cached_share(ledger, host, base.model)
    return Costs(
        standard=cost_of(price, bound.prompt_tokens, length, 0.0),
        sample=cost_of(price, bound.prompt_tokens, length, share or 0.0),
        worst_standard=bound.worst,
        standard_price=price,
        prompt_tokens=bound.prompt_tokens,
        length=length,
        cached_share=share,
        seconds=history.seconds(ledger, host, base.model, mode) if timed else None,
    )


def _choose(route_plan: RoutePlan) -> None:
    """Sets the plan, its reason, and what had to be given up."""
    policy, plans, preference = route_plan.preference.policy, route_plan.plans, route_plan.preference
    zero, base = Money.zero(route_plan.value.currency), route_plan.base.name
    tier, short = route_plan.reach(zero, route_plan.room, preference.deadline)
    if policy in ("thinking", "specialist"):
        name = policy if route_plan.climb is None or policy == "specialist" else route_plan.last
        route_plan.plan, route_plan.reason = name, f"the policy is {'to think' if policy == 'thinking' else policy}"
        return
    if policy == "standard":
        route_plan.plan, route_plan.reason = base, "the policy is standard mode"
        return
    if tier is None:
        for name in list(plans):
            if name != base:
                _rule_out(plans, name, short or "")
        only = "standard mode only, for thinking is" if base == "standard" else f"{base} only, for what is above it is"
        route_plan.plan, route_plan.reason = base, f"{only} out of reach: {short}"
        route_plan.degraded.append(f"thinking: {short}" if route_plan.climb is None else f"escalation: {short}")
        return
    if preference.threshold is not None:
        route_plan.plan, route_plan.reason = "cascade", preference.promise
        return
    if policy == "cascade":
        what = "standard answer" if base == "standard" else f"answer of {base}"
        route_plan.plan, route_plan.reason = (
            "cascade",
            f"the policy is to verify the {what} and escalate if it fails",
        )
        return
    for each in route_plan.tiers:
        problem = route_plan.short_of(each.worst, zero, route_plan.room) or route_plan.late_for(
            each, preference.deadline
        )
        if problem is not None:
            _rule_out(plans, each.name, problem)
    if route_plan.score.weight < FAMILIAR:
        _rule_out_tiers(route_plan, "the question is unlike the training data, so an answer is verified first")
    elif any(length.source == "prior" for length in (route_plan.costs.length, tier.length)):
        _rule_out_tiers(route_plan, "the lengths of both modes are not on record yet, so an answer is verified first")
    # Whether both calls fit is seen again after the first, whose real cost is mostly far below its worst case.
    _rule_out(plans, base, "a cascade may stop after its first answer, too, so it is never worse")
    best = max((plan for plan in plans.values() if plan.possible), key=lambda plan: plan.utility)
    route_plan.plan = best.plan
    route_plan.reason = _why(route_plan, best)


def _rule_out_tiers(route_plan: RoutePlan, note: str) -> None:
    for tier in route_plan.tiers:
        _rule_out(route_plan.plans, tier.name, note)


def _rule_out(plans: dict[PlanName, PlanCost], name: PlanName, note: str) -> None:
    if name in plans and plans[name].possible:
        plans[name] = plans[name].model_copy(update={"possible": False, "note": note})


def _why(route_plan: RoutePlan, best: PlanCost) -> str:
    gain = f"thinking is expected to add {route_plan.score.belief.gain:+.2f} to the chance of a right answer"
    base, last = route_plan.base.name, route_plan.last
    if route_plan.climb is not None:
        gain = f"{last} is expected to add {route_plan.score.belief.gain:+.2f} to the chance that {base} is right"
    if best.plan != "cascade":
        which = "the specialist" if best.plan == "specialist" else best.plan
        return f"{which} at once has the highest expected utility: {gain}"
    then = "thinking" if route_plan.climb is None else "a higher tier"
    return f"{base} first, verified before {then} is bought: {gain}"
