"""One routed answer, from the first call to the record of the decision."""

from __future__ import annotations

import asyncio

from deepthrift import Reply
from deepthrift.errors import (
    AuthenticationFailed,
    DeepthriftError,
    InsufficientBalance,
    PermissionRefused,
)
from deepthrift_pricing import Money
from deepthrift_router._calls.calls import Calls
from deepthrift_router._decide.route_plan import RoutePlan
from deepthrift_router._decide.tiers import TierOffer
from deepthrift_router._evidence.call_check import CallCheck
from deepthrift_router._evidence.draft import unusable
from deepthrift_router._learn.audits import Outcomes
from deepthrift_router._record.presenter import StreamPresenter
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router._run.ascent import Ascent
from deepthrift_router._run.reasons import why_accept, why_escalate
from deepthrift_router._run.steps import Setup, Steps


class Route:
    """Runs one plan. Every await is a call of a client, which books whatever happens; nothing is held in between."""

    def __init__(
        self, calls: Calls, route_plan: RoutePlan, setup: Setup, presenter: StreamPresenter | None = None
    ) -> None:
        self._steps = Steps(calls, route_plan, setup, presenter)

    @property
    def outcomes(self) -> Outcomes:
        """The two replies, as far as they were requested: an audit need not request them again."""
        return self._steps.outcomes

    async def run(self) -> RoutedReply:
        """The routed answer.

        Raises:
            DeepthriftError: There is no answer at all; the error carries the attempts and the spend of the whole group.
        """
        try:
            if self._steps.route_plan.plan not in (self._steps.route_plan.base.name, "cascade"):
                return await self._up_first()
            if self._steps.preference.race and self._steps.route_plan.plan == "cascade":
                return await self._race()
            return await self._standard_first()
        except DeepthriftError as error:
            if self._steps.calls.attempts:
                error.attempt_ids = tuple(attempt.id for attempt in self._steps.calls.attempts)
                error.spend = self._steps.calls.spent
            raise

    # -- plans ------------------------------------------------------------------------------------------------------

    async def _up_first(self) -> RoutedReply:
        name = self._steps.route_plan.plan
        fixed = self._steps.preference.policy in ("thinking", "specialist")
        tier = next((each for each in self._steps.route_plan.tiers if each.name == name), None)
        self._steps.trace.path.append(name)
        try:
            reply = await self._steps.send_up(tier, "answer", sure=fixed)
        except (AuthenticationFailed, InsufficientBalance, PermissionRefused):
            raise
        except DeepthriftError as error:
            if fixed:
                raise
            if not error.attempt_ids:
                self._steps.trace.path.pop()
            self._steps.trace.degraded.append(f"{name}: {type(error).__name__}: {error}")
            return await self._standard_first()
        problem = await self._steps.reader.refused(reply)
        climb = self._steps.route_plan.climb
        if tier is not None and climb is not None and not fixed:
            found = await Ascent(self._steps, climb).after(tier, reply, problem)
            if found is not None:
                return found
        if problem is None or fixed:
            self._steps.trace.answered = name
            return self._steps.finish(reply, self._steps.confidence_in(reply, problem))
        self._steps.trace.degraded.append(f"{name}: {problem}")
        base = self._steps.route_plan.base
        self._steps.withdraw(base.name, problem)
        spec = self._steps.request.call(base.client.host, base.mode, effort=base.effort)
        standard = await self._steps.send_or_none(spec)
        if standard is None or unusable(standard) is not None:
            self._steps.trace.answered = name
            return self._steps.finish(reply, 0.0)
        self._steps.trace.path.append(base.name)
        await self._steps.reader.first(standard)
        what = "a standard one" if base.name == "standard" else f"one of {base.name}"
        self._steps.trace.why = f"{name} gave no usable answer, so {what} was asked for"
        return self._steps.finish(standard, self._steps.seen.belief.p_standard)

    async def _standard_first(self) -> RoutedReply:
        self._steps.trace.path.append(self._steps.route_plan.base.name)
        reply = await self._steps.first_standard()
        if reply.tool_calls:
            self._steps.seen.missing.append("agreement: tool calls are not verified")
            self._steps.trace.why = "the answer is a tool call"
            if _is_cut(reply):  # another mode would be cut as well
                self._steps.say_unusable(reply)
                return self._steps.finish(reply, 0.0)
            return self._steps.finish(reply, self._steps.seen.belief.p_standard)
        if self._steps.route_plan.plan == self._steps.route_plan.base.name:
            self._steps.say_unusable(reply)
            return self._steps.finish(reply, self._steps.seen.belief.p_standard)
        tier = await self._verify()
        if tier is None:
            return self._steps.finish(self._steps.chosen.reply, self._steps.seen.belief.p_standard)
        climb = self._steps.route_plan.climb
        if climb is not None:
            return await Ascent(self._steps, climb).up(tier)
        return await self._escalate(tier)

    async def _race(self) -> RoutedReply:
        """Both modes at once: a standard answer that is accepted ends thinking, and thinking that is done ends it."""
        zero = Money.zero(self._steps.route_plan.value.currency)
        belief, room = self._steps.route_plan.score.belief, self._steps.route_plan.room
        tier = self._steps.route_plan.best_up(belief, zero, room, self._steps.calls.left)
        both = self._steps.route_plan.costs.worst_standard + tier.worst if tier is not None else zero
        short = self._steps.route_plan.short_of(both, zero, self._steps.route_plan.room)
        if tier is None or short is not None:
            self._steps.trace.degraded.append(f"race: {short or 'there is nothing to race with'}")
            return await self._standard_first()
        self._steps.trace.path.append(self._steps.route_plan.base.name)
        self._steps.trace.path.append(tier.name)
        standard = asyncio.ensure_future(self._raced_standard())
        thinking = asyncio.ensure_future(self._raced_thinking(tier))
        try:
            await asyncio.wait((standard, thinking), return_when=asyncio.FIRST_COMPLETED)
            if thinking.done() and not standard.done() and (thought := thinking.result()) is not None:
                await _cancel(standard)
                await self._steps.calls.reconcile(self._steps.client, tier.client)
                return await self._won_by(thought, tier)
            if await standard:
                self._steps.trace.why += "; thinking, which ran beside it, was cancelled" if not thinking.done() else ""
                await _cancel(thinking)
                await self._steps.calls.reconcile(self._steps.client, tier.client)
                return self._steps.finish(self._steps.chosen.reply, self._steps.seen.belief.p_standard)
            return await self._won_by(await thinking, tier)
        finally:
            await _cancel(standard, thinking)

    async def _raced_standard(self) -> bool:
        """Whether the standard answer can be accepted."""
        try:
            reply = await self._steps.first_standard(hold=True)
        except DeepthriftError as error:
            self._steps.lost = error
            self._steps.trace.degraded.append(f"standard: {type(error).__name__}: {error}")
            return False
        return not _is_cut(reply) if reply.tool_calls else await self._verify() is None

    async def _raced_thinking(self, tier: TierOffer) -> Reply | None:
        spec = self._steps.request.call(tier.client.host, tier.mode, "escalate", effort=tier.tier.effort)
        try:
            # Streamed, so that cancelling it stops the upstream, and what was generated is booked as such.
            reply = await self._steps.calls.send(spec, client=tier.client, tell=lambda _: None)
        except DeepthriftError as error:
            self._steps.trace.degraded.append(f"{tier.name}: {type(error).__name__}: {error}")
            return None
        self._steps.trace.thought = (reply, tier)
        return reply

    async def _won_by(self, reply: Reply | None, tier: TierOffer) -> RoutedReply:
        if reply is not None:
            problem = await self._steps.reader.refused(reply)
            if problem is None:
                self._steps.trace.why = f"both modes were asked at once, and the answer is that of {tier.name}"
                self._steps.trace.answered = tier.name
                return self._steps.finish(reply, self._steps.confidence_in(reply, None))
            self._steps.trace.degraded.append(f"{tier.name}: {problem}")
        if not self._steps.reader.drafts:
            if reply is None:
                raise self._steps.lost
            self._steps.trace.answered = tier.name
            return self._steps.finish(reply, 0.0)
        self._steps.trace.path.append(f"kept {self._steps.route_plan.base.name}")
        self._steps.say_unusable(self._steps.chosen.reply)
        return self._steps.finish(self._steps.chosen.reply, self._steps.seen.belief.p_standard)

    # -- verifying --------------------------------------------------------------------------------------------------

    async def _verify(self) -> TierOffer | None:
        """Buys evidence while it can change what is done; then what to escalate to, or `None` to accept."""
        seen = self._steps.seen
        while True:
            values, tier, short = self._steps.policy.values()
            step = self._steps.policy.next_step(values)
            if step == "sample":
                await self._sample()
                continue
            check = next((each for each in self._steps.setup.checks if each.name == step), None)
            if check is not None:
                await self._check(check)
                continue
            threshold = self._steps.preference.threshold
            if step == "escalate" and tier is not None:
                tier = self._steps.policy.way_up() or tier
                self._steps.trace.why = why_escalate(seen, threshold, tier.name, self._steps.policy.gain_of(tier))
                return tier
            if self._steps.reader.drafts[0].answer is None and not seen.settled:
                seen.missing.append("agreement: the answer is open text, which cannot be compared")
            up = values.up
            worth = values.value * seen.belief.p_thinking - values.escalation if up is None else up(seen.belief)
            if short is not None and (seen.settled or worth > values.value * seen.belief.p_standard):
                self._steps.trace.degraded.append(f"escalation: {short}")
            self._steps.trace.why = why_accept(seen, len(self._steps.reader.drafts), short, threshold)
            return None

    async def _check(self, check: CallCheck) -> None:
        """Buys one check. A failure is missing evidence, and it is not tried again."""
        spec = self._steps.policy.ask(check)
        self._steps.policy.spent.add(check.name)
        if isinstance(spec, str):
            return
        replies = [await self._steps.send_or_none(spec, check=check, client=client) for client in check.clients]
        if any(replies):
            self._steps.trace.path.append("check")
        await self._steps.reader.bought(check, replies)

    async def _sample(self) -> None:
        """Buys one more standard answer. After one that failed, no other is asked for."""
        base, number = self._steps.route_plan.base, len(self._steps.reader.drafts) + 1
        spec = self._steps.request.sample(base.client.host, number, base.mode, base.effort)
        reply = await self._steps.send_or_none(spec)
        if reply is None:
            self._steps.policy.spent.add("sample")
            return
        self._steps.trace.path.append("sample")
        self._steps.reader.sample(reply)

    # -- escalating -------------------------------------------------------------------------------------------------

    async def _escalate(self, tier: TierOffer | None) -> RoutedReply:
        draft, tried, last = self._steps.chosen, list[str](), None
        useless = unusable(draft.reply) is not None
        while tier is not None:
            tried.append(tier.name)
            self._steps.withdraw(tier.name, self._steps.trace.why)
            reply = await self._steps.send_up_or_none(tier, None if useless else draft.reply.text)
            if reply is not None:
                last = reply
                self._steps.trace.path.append("escalate" if tier.name == "thinking" else "specialist")
                problem = await self._steps.reader.refused(reply)
                if problem is None:
                    self._steps.trace.answered = tier.name
                    return self._steps.finish(reply, self._steps.confidence_in(reply, None))
                self._steps.trace.degraded.append(f"{tier.name}: {problem}")
            tier, _ = self._steps.route_plan.reach(
                self._steps.calls.spent, self._steps.policy.room(), self._steps.calls.left, tried=tried
            )
        if last is None:
            self._steps.say_unusable(draft.reply)
            return self._steps.finish(draft.reply, self._steps.seen.belief.p_standard)
        # Of two that are of no use, the one that says something.
        kept = bool(draft.reply.text.strip()) and not last.text.strip()
        if not kept and (useless or (self._steps.seen.settled and unusable(last) is None)):
            self._steps.trace.answered = tried[-1]
            return self._steps.finish(last, 0.0)
        self._steps.trace.path.append("kept standard")
        self._steps.trace.why = f"{' and '.join(tried)} gave no usable answer; the standard answer stands"
        self._steps.say_unusable(draft.reply)
        return self._steps.finish(draft.reply, self._steps.seen.belief.p_standard)


def _is_cut(reply: Reply) -> bool:
    """Whether the answer ended inside a tool call."""
    return any(call.cut for call in reply.tool_calls)


async def _cancel(*tasks: asyncio.Task[bool] | asyncio.Task[Reply | None]) -> None:
    """End all `tasks` and wait for their end; their failures are nobody's any more."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
