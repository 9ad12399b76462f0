"""The calls of one routed answer as its plans need them, and the record of what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from deepthrift import Reply, StreamEvent
from deepthrift.errors import ConfigurationError, DeepthriftError
from deepthrift_pricing import Money, Purpose
from deepthrift_router._belief.ladder import JointBelief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.verification import Verification
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._calls.calls import Calls
from deepthrift_router._decide.ladder import Effort
from deepthrift_router._decide.route_plan import RoutePlan
from deepthrift_router._decide.tiers import TierOffer, bound_of
from deepthrift_router._evidence.call_check import CallCheck
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router._evidence.evidence import Reader
from deepthrift_router._evidence.own_checks import DEFAULT_SECONDS, Check
from deepthrift_router._evidence.validators import Validator
from deepthrift_router._evidence.watch import PartialValidator, Watch
from deepthrift_router._learn.audits import Outcomes
from deepthrift_router._record.presenter import StreamPresenter
from deepthrift_router._record.reply import RoutedReply, Step
from deepthrift_router._run.evidence_policy import EvidencePolicy
from deepthrift_router._run.reasons import sentences
from deepthrift_router._run.record import decision_of, savings_of

if TYPE_CHECKING:
    from deepthrift import AsyncClient

_STEPS: Final[Mapping[Purpose, str]] = {
    "answer": "the first call",
    "sample": "a further sample",
    "verify": "a check",
    "escalate": "thinking",
}
_OWN: Final = frozenset({"attempts", "cached", "cost", "seconds", "usage", "warnings"})


@dataclass(frozen=True, slots=True)
class Setup:
    """What a router brings to each of its answers."""

    likelihoods: Likelihoods
    validators: Sequence[Validator] = ()
    partial_validators: Sequence[PartialValidator] = ()
    checks: Sequence[CallCheck] = ()
    setting: str = "shipped"
    own_checks: Sequence[Check] = ()
    check_seconds: float = DEFAULT_SECONDS
    """The most seconds that the user's own checks may take."""


@dataclass(slots=True)
class RouteTrace:
    """What happened on the way to one answer."""

    path: list[Step] = field(default_factory=list[Step])
    degraded: list[str] = field(default_factory=list[str])
    why: str = ""
    thought: tuple[Reply, TierOffer] | None = None
    """The last reply of a tier above the lowest one."""
    given: Reply | None = None
    """The answer that was chosen, where it is that of a tier between the lowest and the highest."""
    answered: str | None = None
    """The tier whose answer was chosen; `None`: the lowest one."""
    chances: JointBelief | None = None
    """What is believed of every tier of a ladder, once one above the lowest has answered."""


class Steps:
    """What every plan of one answer is made of: make a call, read what came, write it down."""

    def __init__(
        self, calls: Calls, route_plan: RoutePlan, setup: Setup, presenter: StreamPresenter | None = None
    ) -> None:
        self.calls = calls
        self.client = calls.client
        self.route_plan = route_plan
        self.request = route_plan.request
        self.preference = route_plan.preference
        self.setup = setup
        self.presenter = presenter
        self.seen = Verification(route_plan.score.belief, route_plan.score.weight, setup.likelihoods)
        self.reader = Reader(
            self.seen, route_plan.request, setup.validators, Money.zero(route_plan.value.currency), setup.own_checks
        )
        self.trace = RouteTrace(degraded=list(route_plan.degraded))
        self.lost: DeepthriftError = ConfigurationError("the standard call of a race was never made")
        self.policy = EvidencePolicy(calls, route_plan, self.seen, self.reader, setup.checks, set())

    @property
    def outcomes(self) -> Outcomes:
        """The two replies, as far as they were asked for: what an audit need not ask again."""
        drafts, thought = self.reader.drafts, self.trace.thought
        ours = thought is not None and thought[1].name == self.route_plan.last
        kept, given = self.chosen.reply if drafts else None, self.trace.given
        return Outcomes(kept, thought[0] if thought is not None and ours else None, given)

    def confidence_in(self, reply: Reply, problem: str | None) -> float:
        """Confidence in the answer of a thinking call."""
        if problem is not None:
            return 0.0
        if reply.mode == reply.requested_mode or (self.trace.path and "specialist" in self.trace.path):
            return self.seen.belief.p_thinking
        self.trace.degraded.append("thinking: it was asked for, but the endpoint ran standard mode")
        return min(self.seen.belief.p_standard, self.seen.belief.p_thinking)

    # -- calls ------------------------------------------------------------------------------------------------------

    async def first_standard(self, *, hold: bool = False) -> Reply:
        """The first standard answer, with what is free to see of it."""
        base = self.route_plan.base
        spec = self.request.call(base.client.host, base.mode, effort=base.effort)
        watch: Watch | None = None
        presenter = self.presenter
        if presenter is None or hold:
            reply = await self.calls.send(spec)
        else:
            sure = self.route_plan.plan == base.name
            watch = None if sure else Watch(self.setup.partial_validators, self.policy.would_escalate)
            reply = await self.calls.send(spec, tell=lambda event: presenter.hear(event, sure=sure), watch=watch)
        limits = [self.setup.check_seconds] if self.calls.left is None else [self.setup.check_seconds, self.calls.left]
        await self.reader.first(reply, cut=None if watch is None else watch.problem, seconds=max(0.0, min(limits)))
        return reply

    async def send_up(self, tier: TierOffer | None, purpose: Purpose, hint: str | None = None, *, sure: bool) -> Reply:
        client = self.client if tier is None else tier.client
        mode, effort = ("thinking", None) if tier is None else (tier.mode, tier.tier.effort)
        spec = self.request.call(client.host, mode, purpose, effort=effort)
        if hint and self.preference.draft_as_hint and mode == "thinking":
            spec = self._hinted(spec, client, purpose, hint, effort)
        presenter = self.presenter

        def hear(event: StreamEvent) -> None:
            if presenter is not None:
                presenter.hear(event, sure=sure)

        reply = await self.calls.send(spec, client=client, tell=None if presenter is None else hear)
        if tier is not None:
            self.trace.thought = (reply, tier)
        return reply

    def _hinted(
        self, spec: CallSpec, client: AsyncClient, purpose: Purpose, hint: str, effort: Effort | None
    ) -> CallSpec:
        """The thinking call with the draft in it, unless its longer prompt would pass a limit."""
        hinted = self.request.thinking(client.host, purpose, hint, effort)
        try:
            worst = bound_of(client, hinted, self.request.prepared).worst
            short = self.route_plan.short_of(worst, self.calls.spent, self.policy.room())
        except DeepthriftError as error:
            short = str(error)
        if short is None:
            return hinted
        self.trace.degraded.append(f"hint: {short}")
        return spec

    async def send_up_or_none(self, tier: TierOffer, hint: str | None) -> Reply | None:
        try:
            return await self.send_up(tier, "escalate", hint, sure=False)
        except DeepthriftError as error:
            self.trace.degraded.append(f"{tier.name} failed with {type(error).__name__}: {error}")
            return None

    async def send_or_none(
        self, spec: CallSpec, check: CallCheck | None = None, client: AsyncClient | None = None
    ) -> Reply | None:
        """A call whose failure leaves the earlier answer standing; the failure is part of the decision."""
        try:
            return await self.calls.send(spec, client=client)
        except DeepthriftError as error:
            what = _STEPS[spec.purpose] if check is None else f"the check {check.name}"
            told = f"{what} failed with {type(error).__name__}: {error}"
            (self.seen.missing if spec.purpose in ("sample", "verify") else self.trace.degraded).append(told)
            return None

    # -- result -----------------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Draft:
        """The standard answer that is believed in."""
        return self.reader.drafts[self.seen.chosen]

    @property
    def _stands(self) -> str:
        """What the answer is of, for a stream that showed something else."""
        if self.trace.answered is None and self.seen.chosen:
            return "sample"
        return self.trace.answered or self.route_plan.base.name

    def withdraw(self, to: str, reason: str) -> None:
        if self.presenter is not None:
            self.presenter.withdraw(to, reason)

    def say_unusable(self, reply: Reply) -> None:
        problem = unusable(reply)
        if problem is not None:
            self.trace.degraded.append(f"answer: {problem[1]}")

    def finish(self, chosen: Reply, confidence: float) -> RoutedReply:
        route_plan, calls, trace = self.route_plan, self.calls, self.trace
        if self.presenter is not None:
            self.presenter.settle(chosen.text, self._stands, trace.why)
        cost = calls.cost
        passes = 1 if self.client.host.two_pass is None else 2
        return RoutedReply(
            **{name: getattr(chosen, name) for name in Reply.model_fields if name not in _OWN},
            attempts=tuple(calls.attempts),
            usage=calls.usage,
            cost=cost,
            seconds=calls.seconds,
            cached=all(reply.cached for reply in calls.replies),
            warnings=tuple(dict.fromkeys((*chosen.warnings, *trace.degraded))),
            confidence=confidence,
            decision=decision_of(
                route_plan,
                belief=self.seen.belief,
                reason=sentences(route_plan.reason, trace.why),
                evidence=self.seen.evidence,
                missing=self.seen.missing,
                degraded=trace.degraded,
                setting=self.setup.setting,
                chances=trace.chances,
            ),
            tier=trace.answered or route_plan.base.name,
            savings=savings_of(route_plan, cost.total, calls.replies[0], trace.thought, passes=passes),
            path=tuple(trace.path),
            group_id=self.request.group_id,
        )
