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
from deepthrift_router._decide.decide import VALUE_IN_THINKING_CALLS, Stakes, plan_costs
from deepthrift_router._decide.economy import Costs, Room, cost_of, expected_length, room_for
from deepthrift_router._decide.history import History
from deepthrift_router._decide.share import ShareControl
from deepthrift_router._decide.tiers import Rung, bound_of, rung_of, specialist_rung
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
class Outlook:
    """What is known before the first call."""

    request: Request
    preference: Preference
    score: Score
    costs: Costs
    rungs: list[Rung]
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
    def thinking(self) -> Rung | None:
        """The rung of thinking, if it can be used."""
        return next((rung for rung in self.rungs if rung.name == "thinking"), None)

    def stakes(
        self, *, spent: Money, samples: int, room: Room | None, draft_tokens: int, left: float | None = None
    ) -> tuple[Stakes, Rung | None, str | None]:
        """What is at stake after `spent`, what to escalate to, and why nothing is in reach if so.

        A second sample is expected to be as long as the first was: `draft_tokens`. `left`: seconds to the deadline.
        """
        rung, short = self.reach(spent, room, left)
        worst = self.costs.worst_standard
        can_sample = (
            rung is not None
            and samples < self.preference.max_samples
            and self.short_of(worst + rung.worst, spent, room) is None
        )
        escalation = self.price_of(rung) if rung is not None else 0.0
        sample = self.costs.sample_like(draft_tokens) + self.preference.per_second * (self.costs.seconds or 0.0)
        return Stakes(float(self.value.pico), sample, escalation, can_sample, rung is not None), rung, short

    def price_of(self, rung: Rung) -> float:
        """What escalating to `rung` is expected to cost, waiting included, in 10⁻¹² of the currency."""
        return rung.escalation.expected + self.preference.per_second * (rung.seconds or 0.0)

    def reach(
        self, spent: Money, room: Room | None, left: float | None, *, tried: Sequence[str] = ()
    ) -> tuple[Rung | None, str | None]:
        """The cheapest rung in reach, or `None` and why there is none."""
        short = self.no_thinking
        found: Rung | None = None
        for rung in self.rungs:
            if rung.name in tried:
                continue
            where = room if rung.name == "thinking" else room_now(rung.client, self.request, "thinking")
            problem = self.short_of(rung.worst, spent, where) or self.late_for(rung, left)
            if problem is not None:
                short = short or problem
            elif found is None or self.price_of(rung) < self.price_of(found):
                found = rung
        return (found, None) if found is not None else (None, short or "everything was tried")

    def late_for(self, rung: Rung, left: float | None) -> str | None:
        """Why `rung` cannot end in time, or `None`; where no seconds are on record, it is tried."""
        if left is None or rung.seconds is None or rung.seconds <= left:
            return None
        return f"it takes {rung.seconds:.1f} seconds here, and {max(0.0, left):.1f} are left"

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
) -> Outlook:
    """The outlook for `request`. No call is made.

    Raises:
        DeepthriftError: The request is wrong, has no price, or cannot keep `max_cost`; nothing was sent.
    """
    timed = preference.value_of_second is not None or preference.deadline is not None
    history = history or History()
    costs, thinking = _costs(client, request, history, timed=timed)
    rungs: list[Rung] = [] if isinstance(thinking, str) else [thinking]
    other = specialist_rung(specialist, request, Prior.builtin(), history, timed=timed)
    if isinstance(other, Rung):
        rungs.append(other)
    _check_max_cost(preference, costs, rungs)
    # After the client has checked that the messages are in order.
    score = scorer.score(request.messages)
    value = preference.value
    if value is None:
        dear = rungs[0].first.expected if rungs else costs.standard.expected
        value = Money(max(1, round(VALUE_IN_THINKING_CALLS * dear)), costs.worst_standard.currency)
    always = preference.policy == "cascade" or preference.threshold is not None
    plans = plan_costs(score, costs, rungs, float(value.pico), likelihoods, preference.per_second, always_sample=always)
    for each in (client, *(rung.client for rung in rungs)):
        if not in_event_loop() and each.ledger.budgets:
            read_statuses(each.ledger)
    outlook = Outlook(
        request=request,
        preference=preference,
        score=score,
        costs=costs,
        rungs=rungs,
        value=value,
        room=room_now(client, request, "thinking" if rungs else "standard"),
        plans=plans,
        no_thinking=thinking if isinstance(thinking, str) else None,
    )
    outlook.degraded += preference.suspended
    if isinstance(other, str):
        outlook.degraded.append(f"specialist: {other}")
    _choose(outlook)
    return outlook


def _check_max_cost(preference: Preference, costs: Costs, rungs: Sequence[Rung]) -> None:
    """Refuses a `max_cost` that not even the first call is sure to keep."""
    first = next((rung.worst for rung in rungs if rung.name == preference.policy), costs.worst_standard)
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


def _costs(client: AsyncClient, request: Request, history: History, *, timed: bool) -> tuple[Costs, Rung | str]:
    """The costs of a standard call and of a sample, and the rung of thinking or why it cannot be asked for."""
    prior, host, ledger = Prior.builtin(), client.host, client.ledger
    asked = request.standard(host)
    standard = bound_of(client, asked)
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


def _choose(outlook: Outlook) -> None:
    """Sets the plan, its reason, and what had to be given up."""
    policy, plans, preference = outlook.preference.policy, outlook.plans, outlook.preference
    zero = Money.zero(outlook.value.currency)
    rung, short = outlook.reach(zero, outlook.room, preference.deadline)
    if policy in ("thinking", "specialist"):
        outlook.plan, outlook.reason = policy, f"the policy is {'to think' if policy == 'thinking' else policy}"
        return
    if policy == "standard":
        outlook.plan, outlook.reason = "standard", "the policy is standard mode"
        return
    if rung is None:
        for name in ("cascade", "thinking", "specialist"):
            _rule_out(plans, name, short or "")
        outlook.plan, outlook.reason = "standard", f"standard mode only, for thinking is out of reach: {short}"
        outlook.degraded.append(f"thinking: {short}")
        return
    if preference.threshold is not None:
        outlook.plan, outlook.reason = "cascade", preference.promise
        return
    if policy == "cascade":
        outlook.plan, outlook.reason = "cascade", "the policy is to verify the standard answer and escalate if it fails"
        return
    for each in outlook.rungs:
        problem = outlook.short_of(each.worst, zero, outlook.room) or outlook.late_for(each, preference.deadline)
        if problem is not None:
            _rule_out(plans, each.name, problem)
    if outlook.score.weight < FAMILIAR:
        _rule_out_rungs(plans, "the question is unlike the training data, so an answer is verified first")
    elif any(length.source == "prior" for length in (outlook.costs.length, rung.length)):
        _rule_out_rungs(plans, "the lengths of both modes are not on record yet, so an answer is verified first")
    # Whether both calls fit is seen again after the first, whose real cost is mostly far below its worst case.
    _rule_out(plans, "standard", "a cascade may stop after its first answer, too, so it is never worse")
    best = max((plan for plan in plans.values() if plan.possible), key=lambda plan: plan.utility)
    outlook.plan = best.plan
    outlook.reason = _why(outlook.score.belief, best)


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
