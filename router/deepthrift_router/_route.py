"""One routed answer, from the first call to the record of the decision."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from deepthrift import Reply
from deepthrift.errors import AuthenticationFailed, DeepthriftError, InsufficientBalance, PermissionRefused
from deepthrift_pricing import Attempt, Cost, Mode, Money, Purpose
from deepthrift_router._decide import Action, Stakes, next_action
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._outlook import Outlook, room_now
from deepthrift_router._record import decision_of, savings_of, total_cost, total_usage
from deepthrift_router._reply import RoutedReply, Step
from deepthrift_router._signals import Draft, FinishSignal, Validator, free_signals, unusable
from deepthrift_router._verification import AGREEMENT, THIRD, Verification

if TYPE_CHECKING:
    from deepthrift import AsyncClient

_ENOUGH: Final = 3
"""After a sample that failed, no other one is asked for."""
_STEPS: Final[Mapping[Purpose, str]] = {
    "answer": "the first call",
    "sample": "a further sample",
    "escalate": "thinking",
}


class Route:
    """Runs one plan. Every await is a call of the client, which books whatever happens; nothing is held in between."""

    def __init__(
        self, client: AsyncClient, outlook: Outlook, likelihoods: Likelihoods, validators: Sequence[Validator]
    ) -> None:
        self._client = client
        self._outlook = outlook
        self._request = outlook.request
        self._validators = validators
        self._seen = Verification(outlook.score.belief, outlook.score.weight, likelihoods)
        self._free = Money.zero(outlook.value.currency)
        self._drafts: list[Draft] = []
        self._degraded: list[str] = list(outlook.degraded)
        self._path: list[Step] = []
        self._replies: list[Reply] = []
        self._attempts: list[Attempt] = []
        self._started = time.monotonic()
        self._why = ""

    async def run(self) -> RoutedReply:
        """The routed answer.

        Raises:
            DeepthriftError: There is no answer at all; the error carries the attempts and the spend of the whole group.
        """
        try:
            if self._outlook.plan == "thinking":
                return await self._think_at_once()
            return await self._standard_first()
        except DeepthriftError as error:
            if self._attempts:
                error.attempt_ids = tuple(attempt.id for attempt in self._attempts)
                error.spend = total_cost(self._attempts, self._outlook.value.currency)
            raise

    # -- plans ------------------------------------------------------------------------------------------------------

    async def _think_at_once(self) -> RoutedReply:
        fixed = self._outlook.preference.policy == "thinking"
        self._path.append("thinking")
        try:
            reply = await self._send("thinking", "answer")
        except (AuthenticationFailed, InsufficientBalance, PermissionRefused):
            raise
        except DeepthriftError as error:
            if fixed:
                raise
            if not error.attempt_ids:
                self._path.pop()
            self._degraded.append(f"thinking: {type(error).__name__}: {error}")
            return await self._standard_first()
        problem = self._refused(reply)
        if problem is None or fixed:
            return self._finish(reply, self._confidence_in(reply, problem), thinking=reply)
        self._degraded.append(f"thinking: {problem}")
        standard = await self._send_or_none("standard", "answer")
        if standard is None or unusable(standard) is not None:
            return self._finish(reply, 0.0, thinking=reply)
        self._path.append("standard")
        self._start(standard)
        self._why = "thinking gave no usable answer, so a standard one was asked for"
        return self._finish(standard, self._seen.belief.p_standard, thinking=reply)

    async def _standard_first(self) -> RoutedReply:
        self._path.append("standard")
        reply = await self._send("standard", "answer")
        self._start(reply)
        if reply.tool_calls:
            self._seen.missing.append("agreement: tool calls are not verified")
            self._why = "the answer is a tool call"
            return self._finish(reply, self._seen.belief.p_standard)
        if self._outlook.plan == "standard":
            self._say_unusable(reply)
            return self._finish(reply, self._seen.belief.p_standard)
        return await self._verify()

    async def _verify(self) -> RoutedReply:
        """Buys evidence while it can change what is done, then accepts or escalates."""
        seen, asked = self._seen, 1
        while True:
            stakes, short = self._outlook.stakes(
                spent=total_cost(self._attempts, self._outlook.value.currency),
                samples=asked,
                room=room_now(self._client, self._request, "thinking"),
                draft_tokens=self._drafts[0].reply.usage.completion_tokens,
            )
            if self._outlook.preference.policy == "cascade":
                action = self._fixed_rule(stakes, asked)
            else:
                action, _ = next_action(seen.belief, stakes, seen.prospects(self._outlook.preference.max_samples))
            if action == "sample":
                asked = asked + 1 if await self._sample() else _ENOUGH
                continue
            if action == "escalate":
                self._why = self._why_escalate()
                return await self._escalate()
            if self._drafts[0].answer is None and not seen.settled:
                seen.missing.append("agreement: the answer is open text, which cannot be compared")
            worth = stakes.value * seen.belief.p_thinking - stakes.escalation
            if short is not None and (seen.settled or worth > stakes.value * seen.belief.p_standard):
                self._degraded.append(f"escalation: {short}")
            self._why = self._why_accept(short)
            return self._finish(self._chosen.reply, seen.belief.p_standard)

    def _fixed_rule(self, stakes: Stakes, asked: int) -> Action:
        """The cascade's: one second sample, and thinking unless it agrees."""
        seen = self._seen
        if asked == 1 and stakes.can_sample and stakes.can_think and seen.prospects(2):
            return "sample"
        if not stakes.can_think or seen.agreed or (not seen.settled and self._drafts[0].answer is None):
            return "accept"
        return "escalate"

    # -- steps ------------------------------------------------------------------------------------------------------

    async def _sample(self) -> bool:
        """Buys one more standard answer; whether there is one."""
        reply = await self._send_or_none("standard", "sample")
        if reply is None:
            return False
        self._path.append("sample")
        draft = Draft.of(reply, self._request.question)
        self._drafts.append(draft)
        problem = unusable(reply)
        self._seen.sample(draft.answer, reply.cost.total, problem=None if problem is None else problem[1])
        return True

    async def _escalate(self) -> RoutedReply:
        draft = self._chosen
        useless = unusable(draft.reply) is not None
        reply = await self._send_or_none("thinking", "escalate")
        if reply is None:
            self._say_unusable(draft.reply)
            return self._finish(draft.reply, self._seen.belief.p_standard)
        self._path.append("escalate")
        problem = self._refused(reply)
        if problem is None:
            return self._finish(reply, self._confidence_in(reply, None), thinking=reply)
        self._degraded.append(f"thinking: {problem}")
        if useless or (self._seen.settled and unusable(reply) is None):
            return self._finish(reply, 0.0, thinking=reply)
        self._path.append("kept standard")
        self._why = f"thinking was tried, but {problem}; the standard answer stands"
        return self._finish(draft.reply, self._seen.belief.p_standard, thinking=reply)

    def _confidence_in(self, reply: Reply, problem: str | None) -> float:
        """Confidence in the answer of a thinking call."""
        if problem is not None:
            return 0.0
        if reply.mode == "thinking":
            return self._seen.belief.p_thinking
        self._degraded.append("thinking: it was asked for, but the endpoint ran standard mode")
        return min(self._seen.belief.p_standard, self._seen.belief.p_thinking)

    @property
    def _chosen(self) -> Draft:
        """The standard answer that is believed in."""
        return self._drafts[self._seen.chosen]

    async def _send_or_none(self, mode: Mode, purpose: Purpose) -> Reply | None:
        """A call whose failure leaves the earlier answer standing; the failure is part of the decision."""
        try:
            return await self._send(mode, purpose)
        except DeepthriftError as error:
            told = f"{_STEPS[purpose]} failed with {type(error).__name__}: {error}"
            (self._seen.missing if purpose == "sample" else self._degraded).append(told)
            return None

    async def _send(self, mode: Mode, purpose: Purpose) -> Reply:
        request = self._request
        if mode == "thinking":
            options = request.thinking_options(self._client.host)
        elif purpose == "sample":
            options = request.sample_options(len(self._drafts) + 1)
        else:
            options = request.options.copy()
        options["group_id"] = request.group_id
        options["purpose"] = purpose
        try:
            reply = await self._client.chat(request.messages, mode=mode, max_tokens=request.max_tokens, **options)
        except DeepthriftError as error:
            booked = (self._client.ledger.attempt(attempt_id) for attempt_id in error.attempt_ids)
            self._attempts += [attempt for attempt in booked if attempt is not None]
            raise
        self._attempts += reply.attempts
        self._replies.append(reply)
        return reply

    # -- evidence ---------------------------------------------------------------------------------------------------

    def _start(self, reply: Reply) -> None:
        """Reads the free signals off the first standard answer."""
        draft = Draft.of(reply, self._request.question)
        self._drafts.append(draft)
        for signal in free_signals(self._validators):
            read = signal.read(draft)
            if isinstance(read, str):
                self._seen.missing.append(f"{signal.name}: {read}")
                continue
            self._seen.observe(
                signal.name,
                read.outcome,
                self._free,
                detail=read.detail,
                decisive=read.decisive,
                matter_of_course=isinstance(signal, FinishSignal),
            )
            if read.decisive:
                return
        self._seen.start(draft.answer, self._free)

    def _refused(self, reply: Reply) -> str | None:
        """Why a thinking answer cannot be accepted, or `None`."""
        draft = Draft.of(reply, self._request.question)
        for signal in free_signals(self._validators):
            read = signal.read(draft)
            if not isinstance(read, str) and read.decisive:
                return f"{signal.name}: {read.detail or read.outcome}"
        return None

    # -- words ------------------------------------------------------------------------------------------------------

    def _say_unusable(self, reply: Reply) -> None:
        problem = unusable(reply)
        if problem is not None:
            self._degraded.append(f"answer: {problem[1]}")

    def _why_escalate(self) -> str:
        decisive = next((item for item in self._seen.evidence if item.decisive), None)
        if decisive is not None:
            return f"escalated to thinking ({decisive.signal}: {decisive.detail or decisive.outcome})"
        return (
            f"escalated to thinking: {self._told()}it is expected to add {self._seen.belief.gain:+.2f} to the chance "
            "of a right answer, which is worth more than it costs"
        )

    def _why_accept(self, short: str | None) -> str:
        right = f"it is right with a probability of {self._seen.belief.p_standard:.2f}"
        if short is not None:
            return f"the standard answer was accepted, for thinking is out of reach ({short}); {right}"
        if len(self._drafts) == 1:
            return f"the standard answer was accepted without a second sample: {right}, and none would pay"
        return f"the standard answer was accepted: {self._told()}{right}"

    def _told(self) -> str:
        bought = [item for item in self._seen.evidence if item.signal in (AGREEMENT, THIRD)]
        if not bought:
            return ""
        nth = "second" if len(bought) == 1 else "third"
        return f"the {nth} sample {_SAMPLE_WORDS[bought[-1].outcome]}, so "

    # -- result -----------------------------------------------------------------------------------------------------

    def _finish(self, chosen: Reply, confidence: float, *, thinking: Reply | None = None) -> RoutedReply:
        outlook = self._outlook
        cost = Cost.sum((attempt.cost for attempt in self._attempts), outlook.value.currency)
        passes = 1 if self._client.host.two_pass is None else 2
        return RoutedReply(
            **{name: getattr(chosen, name) for name in Reply.model_fields if name not in _OWN},
            attempts=tuple(self._attempts),
            usage=total_usage(self._attempts),
            cost=cost,
            seconds=time.monotonic() - self._started,
            warnings=tuple(dict.fromkeys((*chosen.warnings, *self._degraded))),
            confidence=confidence,
            decision=decision_of(
                outlook,
                belief=self._seen.belief,
                reason=f"{outlook.reason}. {self._why}".rstrip(" .") + ".",
                evidence=self._seen.evidence,
                missing=self._seen.missing,
                degraded=self._degraded,
            ),
            savings=savings_of(outlook, cost.total, self._replies[0], thinking, passes=passes),
            path=tuple(self._path),
            group_id=self._request.group_id,
        )


_SAMPLE_WORDS: Final = {
    "agree": "agrees",
    "disagree": "disagrees",
    "no_answer": "has no answer to compare",
    "with_first": "agrees with the first",
    "with_second": "agrees with the second, not the first",
    "with_neither": "agrees with neither",
}
_OWN: Final = frozenset({"attempts", "usage", "cost", "seconds", "warnings"})
