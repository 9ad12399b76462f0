"""The calls of one routed answer as its plans need them, and the record of what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from deepthrift import Reply, StreamEvent
from deepthrift.errors import ConfigurationError, DeepthriftError
from deepthrift_pricing import Money, Purpose
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.verification import Verification
from deepthrift_router._calls.call_spec import Asked
from deepthrift_router._calls.calls import Calls
from deepthrift_router._decide.outlook import Outlook
from deepthrift_router._decide.tiers import Rung, RungName, bound_of
from deepthrift_router._evidence.checks import Check
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router._evidence.evidence import Reader
from deepthrift_router._evidence.validators import Validator
from deepthrift_router._evidence.watch import PartialValidator, Watch
from deepthrift_router._learn.audits import Outcomes
from deepthrift_router._record.presenter import Telling
from deepthrift_router._record.reply import RoutedReply, Step
from deepthrift_router._run.evidence_policy import Buyer
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
    checks: Sequence[Check] = ()
    setting: str = "shipped"


@dataclass(slots=True)
class Trail:
    """What happened on the way to one answer."""

    path: list[Step] = field(default_factory=list[Step])
    degraded: list[str] = field(default_factory=list[str])
    why: str = ""
    thought: tuple[Reply, Rung] | None = None
    """The last reply of a rung above the standard call."""


class Leg:
    """What every plan does with one answer: make a call, read what came, write it down."""

    def __init__(self, calls: Calls, outlook: Outlook, setup: Setup, telling: Telling | None = None) -> None:
        self._calls = calls
        self._client = calls.client
        self._outlook = outlook
        self._request = outlook.request
        self._preference = outlook.preference
        self._setup = setup
        self._telling = telling
        self._seen = Verification(outlook.score.belief, outlook.score.weight, setup.likelihoods)
        self._reader = Reader(self._seen, outlook.request, setup.validators, Money.zero(outlook.value.currency))
        self._trail = Trail(degraded=list(outlook.degraded))
        self._lost: DeepthriftError = ConfigurationError("the standard call of a race was never made")
        self._buyer = Buyer(calls, outlook, self._seen, self._reader, setup.checks, set())

    @property
    def outcomes(self) -> Outcomes:
        """The two replies, as far as they were asked for: what an audit need not ask again."""
        drafts, thought = self._reader.drafts, self._trail.thought
        ours = thought is not None and thought[1].name == "thinking"
        return Outcomes(self._chosen.reply if drafts else None, thought[0] if thought is not None and ours else None)

    def _confidence_in(self, reply: Reply, problem: str | None) -> float:
        """Confidence in the answer of a thinking call."""
        if problem is not None:
            return 0.0
        if reply.mode == "thinking" or (self._trail.path and "specialist" in self._trail.path):
            return self._seen.belief.p_thinking
        self._trail.degraded.append("thinking: it was asked for, but the endpoint ran standard mode")
        return min(self._seen.belief.p_standard, self._seen.belief.p_thinking)

    # -- calls ------------------------------------------------------------------------------------------------------

    async def _first_standard(self, *, hold: bool = False) -> Reply:
        """The first standard answer, with what is free to see of it."""
        asked = self._request.standard(self._client.host)
        watch: Watch | None = None
        telling = self._telling
        if telling is None or hold:
            reply = await self._calls.send(asked)
        else:
            sure = self._outlook.plan == "standard"
            watch = None if sure else Watch(self._setup.partial_validators, self._buyer.would_escalate)
            reply = await self._calls.send(asked, tell=lambda event: telling.hear(event, sure=sure), watch=watch)
        await self._reader.first(reply, cut=None if watch is None else watch.problem)
        return reply

    async def _send_up(self, rung: Rung | None, purpose: Purpose, hint: str | None = None, *, sure: bool) -> Reply:
        client = self._client if rung is None else rung.client
        asked = self._request.thinking(client.host, purpose)
        if hint and self._preference.draft_as_hint:
            asked = self._hinted(asked, client, purpose, hint)
        telling = self._telling

        def hear(event: StreamEvent) -> None:
            if telling is not None:
                telling.hear(event, sure=sure)

        reply = await self._calls.send(asked, client=client, tell=None if telling is None else hear)
        if rung is not None:
            self._trail.thought = (reply, rung)
        return reply

    def _hinted(self, asked: Asked, client: AsyncClient, purpose: Purpose, hint: str) -> Asked:
        """The thinking call with the draft in it, unless its longer prompt would pass a limit."""
        hinted = self._request.thinking(client.host, purpose, hint)
        try:
            worst = bound_of(client, hinted).worst
            short = self._outlook.short_of(worst, self._calls.spent, self._buyer.room())
        except DeepthriftError as error:
            short = str(error)
        if short is None:
            return hinted
        self._trail.degraded.append(f"hint: {short}")
        return asked

    async def _send_up_or_none(self, rung: Rung, hint: str | None) -> Reply | None:
        try:
            return await self._send_up(rung, "escalate", hint, sure=False)
        except DeepthriftError as error:
            self._trail.degraded.append(f"{rung.name} failed with {type(error).__name__}: {error}")
            return None

    async def _send_or_none(
        self, asked: Asked, check: Check | None = None, client: AsyncClient | None = None
    ) -> Reply | None:
        """A call whose failure leaves the earlier answer standing; the failure is part of the decision."""
        try:
            return await self._calls.send(asked, client=client)
        except DeepthriftError as error:
            what = _STEPS[asked.purpose] if check is None else f"the check {check.name}"
            told = f"{what} failed with {type(error).__name__}: {error}"
            (self._seen.missing if asked.purpose in ("sample", "verify") else self._trail.degraded).append(told)
            return None

    # -- result -----------------------------------------------------------------------------------------------------

    @property
    def _chosen(self) -> Draft:
        """The standard answer that is believed in."""
        return self._reader.drafts[self._seen.chosen]

    def _withdraw(self, to: RungName | Literal["standard"], reason: str) -> None:
        if self._telling is not None:
            self._telling.withdraw(to, reason)

    def _say_unusable(self, reply: Reply) -> None:
        problem = unusable(reply)
        if problem is not None:
            self._trail.degraded.append(f"answer: {problem[1]}")

    def _finish(self, chosen: Reply, confidence: float) -> RoutedReply:
        outlook, calls, trail = self._outlook, self._calls, self._trail
        if self._telling is not None:
            self._telling.settle(chosen.text, "sample" if self._seen.chosen else "standard", trail.why)
        cost = calls.cost
        passes = 1 if self._client.host.two_pass is None else 2
        return RoutedReply(
            **{name: getattr(chosen, name) for name in Reply.model_fields if name not in _OWN},
            attempts=tuple(calls.attempts),
            usage=calls.usage,
            cost=cost,
            seconds=calls.seconds,
            cached=all(reply.cached for reply in calls.replies),
            warnings=tuple(dict.fromkeys((*chosen.warnings, *trail.degraded))),
            confidence=confidence,
            decision=decision_of(
                outlook,
                belief=self._seen.belief,
                reason=sentences(outlook.reason, trail.why),
                evidence=self._seen.evidence,
                missing=self._seen.missing,
                degraded=trail.degraded,
                setting=self._setup.setting,
            ),
            savings=savings_of(outlook, cost.total, calls.replies[0], trail.thought, passes=passes),
            path=tuple(trail.path),
            group_id=self._request.group_id,
        )
