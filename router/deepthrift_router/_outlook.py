"""Before the first call: what is believed, what each step would cost, what may be spent, and the plan that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepthrift.errors import BudgetExceeded, InvalidRequestError
from deepthrift_pricing import Mode, Money, Usage, utc_now
from deepthrift_router._decide import VALUE_IN_THINKING_CALLS, Stakes, plan_costs
from deepthrift_router._decision import PlanCost, PlanName, RoutePolicy
from deepthrift_router._economy import Costs, Room, cached_share, cost_of, expected_length, recorded_calls, room_for
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._prior import Prior, Score, Scorer
from deepthrift_router._request import Request

if TYPE_CHECKING:
    from deepthrift import AsyncClient

FAMILIAR: Final = 0.5
"""Weight of the prior from which it may send a question to thinking unseen; below, the plan relies on verification."""


@dataclass(frozen=True, slots=True)
class Preference:
    """What the user wants of routing."""

    policy: RoutePolicy
    value: Money | None
    max_cost: Money | None
    max_samples: int


@dataclass(slots=True)
class Outlook:
    """What is known before the first call."""

    request: Request
    preference: Preference
    score: Score
    costs: Costs
    value: Money
    room: Room | None
    plans: dict[PlanName, PlanCost]
    plan: PlanName
    reason: str
    degraded: list[str]
    no_thinking: str | None
    """Why thinking cannot be used at all, or `None`."""
    recorded: list[Usage]
    """Recorded thinking calls."""

    def stakes(self, *, spent: Money, samples: int, room: Room | None, draft_tokens: int) -> tuple[Stakes, str | None]:
        """What is at stake after `spent`, and why thinking is out of reach if it is.

        A second sample is expected to be as long as the first was: `draft_tokens`.
        """
        short = self.no_thinking or self.short_of(self.costs.worst_thinking, spent, room)
        both = self.costs.worst_standard + self.costs.worst_thinking
        can_sample = samples < self.preference.max_samples and self.short_of(both, spent, room) is None
        value, costs = float(self.value.pico), self.costs
        return (
            Stakes(value, costs.sample_like(draft_tokens), costs.escalation.expected, can_sample, short is None),
            short,
        )

    def short_of(self, worst: Money, spent: Money, room: Room | None) -> str | None:
        """Why a call of this worst case is out of reach after `spent`, or `None`."""
        if room is not None and worst > room.left:
            return f"its worst case of {worst} does not fit the budget {room.budget!r}, which has {room.left} left"
        limit = self.preference.max_cost
        if limit is not None and spent + worst > limit:
            return f"its worst case of {worst} would pass max_cost={limit.amount:f}; a lower max_tokens lowers it"
        return None


def look_out(
    client: AsyncClient, request: Request, preference: Preference, scorer: Scorer, likelihoods: Likelihoods
) -> Outlook:
    """The outlook for `request`. No call is made.

    Raises:
        DeepthriftError: The request is wrong, has no price, or cannot keep `max_cost`; nothing was sent.
    """
    costs, recorded, no_thinking = _costs(client, request, Prior.builtin())
    _check_max_cost(preference, costs)
    # After the client has checked that the messages are in order.
    score = scorer.score(request.messages)
    value = preference.value
    if value is None:
        value = Money(max(1, round(VALUE_IN_THINKING_CALLS * costs.thinking.expected)), costs.worst_standard.currency)
    plans = plan_costs(score, costs, float(value.pico), likelihoods, always_sample=preference.policy == "cascade")
    outlook = Outlook(
        request=request,
        preference=preference,
        score=score,
        costs=costs,
        value=value,
        room=room_now(client, request, "thinking" if no_thinking is None else "standard"),
        plans=plans,
        plan="standard",
        reason="",
        degraded=[],
        no_thinking=no_thinking,
        recorded=recorded,
    )
    _choose(outlook)
    return outlook


def _check_max_cost(preference: Preference, costs: Costs) -> None:
    """Refuses a `max_cost` that not even the first call is sure to keep."""
    first = costs.worst_thinking if preference.policy == "thinking" else costs.worst_standard
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
        tags={**client_tags(client), **request.tags},
        call_id="",
        group_id=request.group_id,
    )


def client_tags(client: AsyncClient) -> Mapping[str, str]:
    """The tags that the client gives every call."""
    return client._settings.tags  # pyright: ignore[reportPrivateUsage]


def _costs(client: AsyncClient, request: Request, prior: Prior) -> tuple[Costs, list[Usage], str | None]:
    """The costs of every step, the recorded thinking calls, and why thinking cannot be asked for if so."""
    messages, most = request.messages, request.max_tokens
    standard = client.estimate(messages, mode="standard", max_tokens=most, **request.options)
    thinking, refused = standard, None
    try:
        thinking = client.estimate(messages, mode="thinking", max_tokens=most, **request.thinking_options(client.host))
    except InvalidRequestError as error:
        refused = str(error)
    host, ledger, now = client.host, client.ledger, utc_now()
    currency = standard.worst.currency
    plain, deep = host.model_for("standard", client.model), host.model_for("thinking", client.model)
    find = client.prices.find
    standard_price = find(host=host.name, model=plain, mode="standard", at=now, currency=currency)
    thinking_price = standard_price
    if refused is None:
        thinking_price = find(host=host.name, model=deep, mode="thinking", at=now, currency=currency)
    recorded = recorded_calls(ledger, host, deep, "thinking")
    standard_length = expected_length(
        "standard", recorded_calls(ledger, host, plain, "standard"), prior, standard.max_tokens
    )
    thinking_length = expected_length("thinking", recorded, prior, thinking.max_tokens)
    share = cached_share(ledger, host, plain)
    warm = share or 0.0
    costs = Costs(
        standard=cost_of(standard_price, standard.prompt_tokens, standard_length, 0.0),
        sample=cost_of(standard_price, standard.prompt_tokens, standard_length, warm),
        thinking=cost_of(thinking_price, thinking.prompt_tokens, thinking_length, 0.0),
        escalation=cost_of(thinking_price, thinking.prompt_tokens, thinking_length, warm),
        worst_standard=standard.worst,
        worst_thinking=thinking.worst,
        standard_price=standard_price,
        thinking_price=thinking_price,
        prompt_tokens=standard.prompt_tokens,
        lengths=(standard_length, thinking_length),
        cached_share=share,
    )
    return costs, recorded, refused


def _choose(outlook: Outlook) -> None:
    """Sets the plan, its reason, and what had to be given up."""
    policy, plans = outlook.preference.policy, outlook.plans
    zero = Money.zero(outlook.value.currency)
    short = outlook.no_thinking or outlook.short_of(outlook.costs.worst_thinking, zero, outlook.room)
    if policy == "thinking":
        outlook.plan, outlook.reason = "thinking", "the policy is to think"
        return
    if policy == "standard":
        outlook.plan, outlook.reason = "standard", "the policy is standard mode"
        return
    if short is not None:
        _rule_out(plans, "cascade", short)
        _rule_out(plans, "thinking", short)
        outlook.plan, outlook.reason = "standard", f"standard mode only, for thinking is out of reach: {short}"
        outlook.degraded.append(f"thinking: {short}")
        return
    if policy == "cascade":
        outlook.plan, outlook.reason = "cascade", "the policy is to verify the standard answer and escalate if it fails"
        return
    if outlook.score.weight < FAMILIAR:
        _rule_out(plans, "thinking", "the question is unlike the training data, so an answer is verified first")
    elif any(length.source == "prior" for length in outlook.costs.lengths):
        _rule_out(plans, "thinking", "the lengths of both modes are not on record yet, so an answer is verified first")
    # Whether both calls fit is seen again after the first, whose real cost is mostly far below its worst case.
    _rule_out(plans, "standard", "a cascade may stop after its first answer, too, so it is never worse")
    best = max((plan for plan in plans.values() if plan.possible), key=lambda plan: plan.utility)
    outlook.plan = best.plan
    outlook.reason = _why(outlook, best)


def _rule_out(plans: dict[PlanName, PlanCost], name: PlanName, note: str) -> None:
    plans[name] = plans[name].model_copy(update={"possible": False, "note": note})


def _why(outlook: Outlook, best: PlanCost) -> str:
    score = outlook.score
    gain = f"thinking is expected to add {score.gain:+.2f} to the chance of a right answer"
    if best.plan == "thinking":
        return f"thinking at once has the highest expected utility: {gain}"
    return f"standard first, verified before thinking is bought: {gain}"
