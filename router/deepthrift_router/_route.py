"""One routed answer, from the first call to the record of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepthrift import Reply
from deepthrift.errors import BudgetExceeded, DeepthriftError, InvalidRequestError
from deepthrift_pricing import Attempt, Cost, Money, Usage
from deepthrift_router._belief import Belief
from deepthrift_router._decide import next_action
from deepthrift_router._decision import Decision, Evidence
from deepthrift_router._economy import LEAST_RECORDED
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._outlook import Outlook, room_now
from deepthrift_router._reply import RoutedReply, Step
from deepthrift_router._savings import Savings, estimated_savings, measured_savings
from deepthrift_router._signals import AgreementSignal, Draft, Signal, Validator, free_signals, unusable, weigh

if TYPE_CHECKING:
    from deepthrift import AsyncClient

_STEPS: Final = {"answer": "the first call", "sample": "the second sample", "escalate": "thinking"}


class Route:
    """Runs one plan. Every await is a call of the client, which books whatever happens; nothing is held in between."""

    def __init__(
        self, client: AsyncClient, outlook: Outlook, likelihoods: Likelihoods, validators: Sequence[Validator]
    ) -> None:
        self._client = client
        self._outlook = outlook
        self._request = outlook.request
        self._likelihoods = likelihoods
        self._validators = validators
        self._belief: Belief = outlook.score.belief
        self._evidence: list[Evidence] = []
        self._missing: list[str] = []
        self._degraded: list[str] = list(outlook.degraded)
        self._path: list[Step] = []
        self._replies: list[Reply] = []
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
            attempts = self._attempts()
            if attempts:
                error.attempt_ids = tuple(attempt.id for attempt in attempts)
                error.spend = _total(attempts)
            raise

    # -- plans ------------------------------------------------------------------------------------------------------

    async def _think_at_once(self) -> RoutedReply:
        fixed = self._outlook.preference.policy == "thinking"
        self._path.append("thinking")
        try:
            reply = await self._call("thinking")
        except (BudgetExceeded, InvalidRequestError) as error:
            if fixed:
                raise
            self._path.pop()
            self._degraded.append(f"thinking: {error}")
            return await self._standard_first()
        problem = self._refused(reply)
        if problem is None or fixed:
            return self._finish(reply, self._confidence_in_thinking(problem), thinking=reply)
        self._degraded.append(f"thinking: {problem}")
        standard = await self._call_or_none("standard", "answer")
        if standard is None or unusable(standard) is not None:
            return self._finish(reply, 0.0, thinking=reply)
        self._path.append("standard")
        self._read_free(Draft.of(standard, self._request.question))
        self._why = "thinking gave no usable answer, so a standard one was asked for"
        return self._finish(standard, self._belief.p_standard, thinking=reply)

    async def _standard_first(self) -> RoutedReply:
        self._path.append("standard")
        reply = await self._call("standard")
        draft = Draft.of(reply, self._request.question)
        self._read_free(draft)
        if reply.tool_calls:
            self._missing.append("agreement: tool calls are not verified")
            self._why = "the answer is a tool call"
            return self._finish(reply, self._belief.p_standard)
        if self._outlook.plan == "standard":
            self._say_unusable(reply)
            return self._finish(reply, self._belief.p_standard)
        return await self._verify(draft)

    async def _verify(self, draft: Draft) -> RoutedReply:
        """Buys evidence while it can change what is done, then accepts or escalates."""
        sampled = False
        while True:
            spent = _total(self._attempts())
            room = room_now(self._client, self._request, "thinking")
            stakes, short = self._outlook.stakes(
                spent=spent, sampled=sampled, room=room, draft_tokens=draft.reply.usage.completion_tokens
            )
            table = None
            if draft.answer is not None:
                table = self._likelihoods.table(AgreementSignal.name, draft.answer.kind)
            settled = any(item.decisive for item in self._evidence)
            action, utilities = next_action(self._belief, stakes, None if settled else table)
            if self._outlook.preference.policy == "cascade":
                if settled:
                    action = "escalate"
                elif not sampled:
                    action = "sample" if stakes.can_sample and table is not None else "accept"
                else:
                    action = "accept" if self._agreed() else "escalate"
                if action == "escalate" and short is not None:
                    action = "accept"
            if action == "sample":
                sampled = True
                await self._sample(draft)
                continue
            if action == "escalate":
                self._why = self._why_escalate()
                return await self._escalate(draft)
            if draft.answer is None and not settled:
                self._missing.append("agreement: the answer is open text, which cannot be compared")
            if short is not None and (settled or utilities["accept"] < self._would_be_worth()):
                self._degraded.append(f"escalation: {short}")
            self._why = self._why_accept(sampled, short)
            return self._finish(draft.reply, self._belief.p_standard)

    # -- steps ------------------------------------------------------------------------------------------------------

    async def _sample(self, draft: Draft) -> None:
        reply = await self._call_or_none("standard", "sample")
        if reply is None:
            return
        self._path.append("sample")
        self._look(AgreementSignal(Draft.of(reply, self._request.question)), draft, reply.cost.total)

    async def _escalate(self, draft: Draft) -> RoutedReply:
        reply = await self._call_or_none("thinking", "escalate")
        if reply is None:
            self._say_unusable(draft.reply)
            return self._finish(draft.reply, self._kept(draft))
        self._path.append("escalate")
        problem = self._refused(reply)
        if problem is None:
            return self._finish(reply, self._confidence_in_thinking(None), thinking=reply)
        self._degraded.append(f"thinking: {problem}")
        useless = unusable(draft.reply) is not None
        if useless or (self._evidence_refused() and unusable(reply) is None):
            return self._finish(reply, 0.0, thinking=reply)
        self._path.append("kept standard")
        self._why = f"thinking was tried, but {problem}; the standard answer stands"
        return self._finish(draft.reply, self._kept(draft), thinking=reply)

    def _kept(self, draft: Draft) -> float:
        """Confidence in a standard answer that should have been escalated and could not be."""
        return 0.0 if unusable(draft.reply) is not None else self._belief.p_standard

    async def _call(self, mode: str) -> Reply:
        return await self._send(mode, "answer")

    async def _call_or_none(self, mode: str, purpose: str) -> Reply | None:
        """A call whose failure leaves the earlier answer standing; the failure is part of the decision."""
        try:
            return await self._send(mode, purpose)
        except DeepthriftError as error:
            what = _STEPS[purpose]
            told = f"{what} failed with {type(error).__name__}: {error}"
            (self._missing if purpose == "sample" else self._degraded).append(told)
            return None

    async def _send(self, mode: str, purpose: str) -> Reply:
        request = self._request
        if mode == "thinking":
            options = request.thinking_options(self._client.host)
        else:
            options = request.sample_options() if purpose == "sample" else request.options.copy()
        options["group_id"] = request.group_id
        options["purpose"] = "sample" if purpose == "sample" else "escalate" if purpose == "escalate" else "answer"
        reply = await self._client.chat(
            request.messages,
            mode="thinking" if mode == "thinking" else "standard",
            max_tokens=request.max_tokens,
            **options,
        )
        self._replies.append(reply)
        return reply

    # -- evidence ---------------------------------------------------------------------------------------------------

    def _read_free(self, draft: Draft) -> None:
        for signal in free_signals(self._validators):
            self._look(signal, draft, Money.zero(self._outlook.value.currency))
            if self._evidence and self._evidence[-1].decisive:
                return

    def _look(self, signal: Signal, draft: Draft, cost: Money) -> None:
        read = signal.read(draft)
        if isinstance(read, str):
            self._missing.append(f"{signal.name}: {read}")
            return
        self._belief, evidence, missing = weigh(signal.name, read, self._belief, self._likelihoods, cost)
        self._evidence.append(evidence)
        if missing is not None:
            self._missing.append(missing)

    def _refused(self, reply: Reply) -> str | None:
        """Why a thinking answer cannot be accepted, or `None`."""
        draft = Draft.of(reply, self._request.question)
        for signal in free_signals(self._validators):
            read = signal.read(draft)
            if not isinstance(read, str) and read.decisive:
                return f"{signal.name}: {read.detail or read.outcome}"
        return None

    def _agreed(self) -> bool:
        return any(item.signal == AgreementSignal.name and item.outcome == "agree" for item in self._evidence)

    def _evidence_refused(self) -> bool:
        return any(item.decisive for item in self._evidence)

    def _confidence_in_thinking(self, problem: str | None) -> float:
        return self._belief.p_thinking if problem is None else 0.0

    def _would_be_worth(self) -> float:
        """The utility of thinking, were it within reach."""
        return float(self._outlook.value.pico) * self._belief.p_thinking - self._outlook.costs.escalation.expected

    # -- words ------------------------------------------------------------------------------------------------------

    def _say_unusable(self, reply: Reply) -> None:
        problem = unusable(reply)
        if problem is not None:
            self._degraded.append(f"answer: {problem[1]}")

    def _why_escalate(self) -> str:
        decisive = next((item for item in self._evidence if item.decisive), None)
        if decisive is not None:
            return f"escalated to thinking, for {decisive.signal} said {decisive.detail or decisive.outcome}"
        agreement = next((item for item in self._evidence if item.signal == AgreementSignal.name), None)
        told = "" if agreement is None else f"the second sample said {agreement.outcome.replace('_', ' ')}, so "
        return (
            f"escalated to thinking: {told}it is expected to add {self._belief.gain:+.2f} to the chance of a right "
            "answer, which is worth more than it costs"
        )

    def _why_accept(self, sampled: bool, short: str | None) -> str:
        right = f"it is right with a probability of {self._belief.p_standard:.2f}"
        if short is not None:
            return f"the standard answer was accepted, for thinking is out of reach ({short}); {right}"
        if self._agreed():
            return f"the standard answer was accepted: a second sample agrees, and {right}"
        if sampled:
            return f"the standard answer was accepted: {right}, and thinking would not add enough"
        return f"the standard answer was accepted unsampled: {right}, and no further evidence would pay"

    # -- result -----------------------------------------------------------------------------------------------------

    def _attempts(self) -> list[Attempt]:
        """Every attempt of the group, also of calls that failed."""
        return self._client.ledger.attempts(group_id=self._request.group_id)

    def _finish(self, chosen: Reply, confidence: float, *, thinking: Reply | None = None) -> RoutedReply:
        attempts = self._attempts()
        known = {attempt.id for attempt in attempts}
        attempts += [each for reply in self._replies for each in reply.attempts if each.id not in known]
        cost = Cost.sum((attempt.cost for attempt in attempts), self._outlook.value.currency)
        usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
        usage = usages[0]
        for further in usages[1:]:
            usage = usage + further
        return RoutedReply(
            **{name: getattr(chosen, name) for name in Reply.model_fields if name not in _OWN},
            attempts=tuple(attempts),
            usage=usage,
            cost=cost,
            seconds=sum(reply.seconds for reply in self._replies),
            warnings=tuple(dict.fromkeys((*chosen.warnings, *self._degraded))),
            confidence=confidence,
            decision=self._decision(),
            savings=self._savings(cost.total, thinking),
            path=tuple(self._path),
            group_id=self._request.group_id,
        )

    def _decision(self) -> Decision:
        outlook = self._outlook
        return decision_of(
            outlook,
            belief=self._belief,
            reason=f"{outlook.reason}. {self._why}".rstrip(" .") + ".",
            evidence=self._evidence,
            missing=self._missing,
            degraded=self._degraded,
        )

    def _savings(self, spent: Money, thinking: Reply | None) -> Savings:
        outlook = self._outlook
        passes = 1 if self._client.host.two_pass is None else 2
        first = self._replies[0].usage
        if outlook.no_thinking is not None:
            return Savings.unknown(spent, f"there is no thinking to compare with: {outlook.no_thinking}")
        if thinking is not None:
            used = _settled_usage(thinking)
            if used is None:
                return Savings.unknown(spent, "what thinking used is not exactly known")
            return measured_savings(spent, used, first, outlook.costs.thinking_price, passes=passes)
        return estimated_savings(spent, outlook.recorded, first, outlook.costs.thinking_price, passes=passes)


_OWN: Final = frozenset({"attempts", "usage", "cost", "seconds", "warnings"})


def decision_of(
    outlook: Outlook,
    *,
    belief: Belief,
    reason: str,
    evidence: Sequence[Evidence] = (),
    missing: Sequence[str] = (),
    degraded: Sequence[str] = (),
) -> Decision:
    """The record of a decision."""
    missing = [*missing]
    lengths = outlook.costs.lengths
    if any(length.source == "prior" for length in lengths):
        missing.append(
            f"lengths: fewer than {LEAST_RECORDED} calls of a mode are recorded, so the training data's are used"
        )
    if outlook.costs.cached_share is None:
        missing.append("cache: no second call is recorded, so none of its prompt is taken to be cached")
    return Decision(
        policy=outlook.preference.policy,
        plan=outlook.plan,
        reason=reason,
        score=outlook.score,
        p_standard=belief.p_standard,
        p_thinking=belief.p_thinking,
        plans=tuple(outlook.plans.values()),
        evidence=tuple(evidence),
        missing=tuple(dict.fromkeys(missing)),
        degraded=tuple(dict.fromkeys(degraded)),
        value_of_right_answer=outlook.value,
        value_source="default" if outlook.preference.value is None else "given",
        max_cost=outlook.preference.max_cost,
        budget_left=None if outlook.room is None else outlook.room.left,
        prompt_tokens=outlook.costs.prompt_tokens,
        lengths=lengths,
        group_id=outlook.request.group_id,
    )


def _total(attempts: Sequence[Attempt]) -> Money:
    currency = attempts[0].cost.currency if attempts else "USD"
    return Money.sum((attempt.cost.total for attempt in attempts), currency)


def _settled_usage(reply: Reply) -> Usage | None:
    usages = [attempt.usage for attempt in reply.attempts if attempt.status == "settled" and attempt.usage is not None]
    if not usages:
        return None
    total = usages[0]
    for usage in usages[1:]:
        total = total + usage
    return total
