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
from deepthrift_router._checks import Check
from deepthrift_router._leg import Leg
from deepthrift_router._reasons import why_accept, why_escalate
from deepthrift_router._reply import RoutedReply
from deepthrift_router._rungs import Rung, RungName
from deepthrift_router._signals import unusable


class Route(Leg):
    """Runs one plan. Every await is a call of a client, which books whatever happens; nothing is held in between."""

    async def run(self) -> RoutedReply:
        """The routed answer.

        Raises:
            DeepthriftError: There is no answer at all; the error carries the attempts and the spend of the whole group.
        """
        try:
            if self._outlook.plan in ("thinking", "specialist"):
                return await self._up_first()
            if self._preference.race and self._outlook.plan == "cascade":
                return await self._race()
            return await self._standard_first()
        except DeepthriftError as error:
            if self._calls.attempts:
                error.attempt_ids = tuple(attempt.id for attempt in self._calls.attempts)
                error.spend = self._calls.spent
            raise

    # -- plans ------------------------------------------------------------------------------------------------------

    async def _up_first(self) -> RoutedReply:
        name: RungName = "specialist" if self._outlook.plan == "specialist" else "thinking"
        fixed = self._preference.policy == name
        rung = next((each for each in self._outlook.rungs if each.name == name), None)
        self._trail.path.append(name)
        try:
            reply = await self._send_up(rung, "answer", sure=fixed)
        except (AuthenticationFailed, InsufficientBalance, PermissionRefused):
            raise
        except DeepthriftError as error:
            if fixed:
                raise
            if not error.attempt_ids:
                self._trail.path.pop()
            self._trail.degraded.append(f"{name}: {type(error).__name__}: {error}")
            return await self._standard_first()
        problem = await self._reader.refused(reply)
        if problem is None or fixed:
            return self._finish(reply, self._confidence_in(reply, problem))
        self._trail.degraded.append(f"{name}: {problem}")
        self._withdraw("standard", problem)
        standard = await self._send_or_none(self._request.standard(self._client.host))
        if standard is None or unusable(standard) is not None:
            return self._finish(reply, 0.0)
        self._trail.path.append("standard")
        await self._reader.first(standard)
        self._trail.why = f"{name} gave no usable answer, so a standard one was asked for"
        return self._finish(standard, self._seen.belief.p_standard)

    async def _standard_first(self) -> RoutedReply:
        self._trail.path.append("standard")
        reply = await self._first_standard()
        if reply.tool_calls:
            self._seen.missing.append("agreement: tool calls are not verified")
            self._trail.why = "the answer is a tool call"
            if _is_cut(reply):  # another mode would be cut as well
                self._say_unusable(reply)
                return self._finish(reply, 0.0)
            return self._finish(reply, self._seen.belief.p_standard)
        if self._outlook.plan == "standard":
            self._say_unusable(reply)
            return self._finish(reply, self._seen.belief.p_standard)
        rung = await self._verify()
        if rung is None:
            return self._finish(self._chosen.reply, self._seen.belief.p_standard)
        return await self._escalate(rung)

    async def _race(self) -> RoutedReply:
        """Both modes at once: a standard answer that is accepted ends thinking, and thinking that is done ends it."""
        zero = Money.zero(self._outlook.value.currency)
        rung, _ = self._outlook.reach(zero, self._outlook.room, self._calls.left)
        both = self._outlook.costs.worst_standard + rung.worst if rung is not None else zero
        short = self._outlook.short_of(both, zero, self._outlook.room)
        if rung is None or short is not None:
            self._trail.degraded.append(f"race: {short or 'there is nothing to race with'}")
            return await self._standard_first()
        self._trail.path.append("standard")
        self._trail.path.append(rung.name)
        standard = asyncio.ensure_future(self._raced_standard())
        thinking = asyncio.ensure_future(self._raced_thinking(rung))
        try:
            await asyncio.wait((standard, thinking), return_when=asyncio.FIRST_COMPLETED)
            if thinking.done() and not standard.done() and (thought := thinking.result()) is not None:
                await _cancel(standard)
                await self._calls.reconcile(self._client, rung.client)
                return await self._won_by(thought)
            if await standard:
                self._trail.why += "; thinking, which ran beside it, was cancelled" if not thinking.done() else ""
                await _cancel(thinking)
                await self._calls.reconcile(self._client, rung.client)
                return self._finish(self._chosen.reply, self._seen.belief.p_standard)
            return await self._won_by(await thinking)
        finally:
            await _cancel(standard, thinking)

    async def _raced_standard(self) -> bool:
        """Whether the standard answer can be accepted."""
        try:
            reply = await self._first_standard(hold=True)
        except DeepthriftError as error:
            self._lost = error
            self._trail.degraded.append(f"standard: {type(error).__name__}: {error}")
            return False
        return not _is_cut(reply) if reply.tool_calls else await self._verify() is None

    async def _raced_thinking(self, rung: Rung) -> Reply | None:
        asked = self._request.thinking(rung.client.host, "escalate")
        try:
            # Streamed, so that cancelling it stops the upstream, and what was generated is booked as such.
            reply = await self._calls.send(asked, client=rung.client, tell=lambda _: None)
        except DeepthriftError as error:
            self._trail.degraded.append(f"{rung.name}: {type(error).__name__}: {error}")
            return None
        self._trail.thought = (reply, rung)
        return reply

    async def _won_by(self, reply: Reply | None) -> RoutedReply:
        if reply is not None:
            problem = await self._reader.refused(reply)
            if problem is None:
                self._trail.why = "both modes were asked at once, and the answer is that of thinking"
                return self._finish(reply, self._confidence_in(reply, None))
            self._trail.degraded.append(f"thinking: {problem}")
        if not self._reader.drafts:
            if reply is None:
                raise self._lost
            return self._finish(reply, 0.0)
        self._trail.path.append("kept standard")
        self._say_unusable(self._chosen.reply)
        return self._finish(self._chosen.reply, self._seen.belief.p_standard)

    # -- verifying --------------------------------------------------------------------------------------------------

    async def _verify(self) -> Rung | None:
        """Buys evidence while it can change what is done; then what to escalate to, or `None` to accept."""
        seen = self._seen
        while True:
            stakes, rung, short = self._buyer.stakes()
            step = self._buyer.next_step(stakes)
            if step == "sample":
                await self._sample()
                continue
            check = next((each for each in self._setup.checks if each.name == step), None)
            if check is not None:
                await self._check(check)
                continue
            threshold = self._preference.threshold
            if step == "escalate" and rung is not None:
                self._trail.why = why_escalate(seen, threshold, rung.name)
                return rung
            if self._reader.drafts[0].answer is None and not seen.settled:
                seen.missing.append("agreement: the answer is open text, which cannot be compared")
            worth = stakes.value * seen.belief.p_thinking - stakes.escalation
            if short is not None and (seen.settled or worth > stakes.value * seen.belief.p_standard):
                self._trail.degraded.append(f"escalation: {short}")
            self._trail.why = why_accept(seen, len(self._reader.drafts), short, threshold)
            return None

    async def _check(self, check: Check) -> None:
        """Buys one check. A failure is missing evidence, and it is not tried again."""
        asked = self._buyer.ask(check)
        self._buyer.spent.add(check.name)
        if isinstance(asked, str):
            return
        replies = [await self._send_or_none(asked, check=check, client=client) for client in check.clients]
        if any(replies):
            self._trail.path.append("check")
        await self._reader.bought(check, replies)

    async def _sample(self) -> None:
        """Buys one more standard answer. After one that failed, no other is asked for."""
        reply = await self._send_or_none(self._request.sample(self._client.host, len(self._reader.drafts) + 1))
        if reply is None:
            self._buyer.spent.add("sample")
            return
        self._trail.path.append("sample")
        self._reader.sample(reply)

    # -- escalating -------------------------------------------------------------------------------------------------

    async def _escalate(self, rung: Rung | None) -> RoutedReply:
        draft, tried, last = self._chosen, list[str](), None
        useless = unusable(draft.reply) is not None
        while rung is not None:
            tried.append(rung.name)
            self._withdraw(rung.name, self._trail.why)
            reply = await self._send_up_or_none(rung, None if useless else draft.reply.text)
            if reply is not None:
                last = reply
                self._trail.path.append("escalate" if rung.name == "thinking" else "specialist")
                problem = await self._reader.refused(reply)
                if problem is None:
                    return self._finish(reply, self._confidence_in(reply, None))
                self._trail.degraded.append(f"{rung.name}: {problem}")
            rung, _ = self._outlook.reach(self._calls.spent, self._buyer.room(), self._calls.left, tried=tried)
        if last is None:
            self._say_unusable(draft.reply)
            return self._finish(draft.reply, self._seen.belief.p_standard)
        # Of two that are of no use, the one that says something.
        kept = bool(draft.reply.text.strip()) and not last.text.strip()
        if not kept and (useless or (self._seen.settled and unusable(last) is None)):
            return self._finish(last, 0.0)
        self._trail.path.append("kept standard")
        self._trail.why = f"{' and '.join(tried)} gave no usable answer; the standard answer stands"
        self._say_unusable(draft.reply)
        return self._finish(draft.reply, self._seen.belief.p_standard)


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
