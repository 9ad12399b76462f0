"""Both modes on a random share of answers, in the background, so that quality is measured and not claimed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from deepthrift import Messages, Reply
from deepthrift.errors import DeepthriftError, LedgerError
from deepthrift_pricing import Money
from deepthrift_router._answers.answers import same_answer
from deepthrift_router._calls.budget_status import refresh_statuses
from deepthrift_router._decide.route_plan import RoutePlan, room_now
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router._learn.answered import Answered
from deepthrift_router._learn.estimates import drift_of
from deepthrift_router._learn.store import RouterStore

if TYPE_CHECKING:
    pass

Grader: TypeAlias = Callable[[Messages, Reply], bool | Awaitable[bool | None] | None]
"""Whether a reply answers a conversation rightly, awaited or not; `None` where it cannot tell."""

_AT_ONCE: Final = 4
_LOOK: Final = 50
"""Answers between two looks at what has drifted."""
_ROWS: Final = 1_200
_MOST: Final = 64
"""Audits that wait or run; beyond, none is begun, for they must not pile up behind a busy endpoint."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The two replies to one question, as far as they were asked for."""

    kept: Reply | None
    """The standard answer that was or would have been kept."""
    thought: Reply | None
    """That of thinking, or of the highest tier."""
    given: Reply | None = None
    """The answer that was given, where it is that of a tier between the lowest and the highest."""


class Audits:
    """Owns the audits that run in the background, until `aclose` has waited for them."""

    def __init__(
        self,
        rate: float,
        store: RouterStore,
        grader: Grader | None,
        on_drift: Callable[[str], object] | None = None,
    ) -> None:
        self._rate = rate
        self._store = store
        self._grader = grader
        self._on_drift = on_drift
        self._answers = 0
        self._told: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._slots: asyncio.Semaphore | None = None
        self._random = random.SystemRandom()
        self.begun = 0
        self.skipped = 0
        """Not begun, for want of room in a budget or because too many were under way."""
        self.failed = 0

    async def consider(self, outcomes: Outcomes, route_plan: RoutePlan) -> None:
        """Note both answers where both are there; else, by chance, ask for the other one in the background."""
        group_id = route_plan.request.group_id
        self._answers += 1
        if self._on_drift is not None and self._answers % _LOOK == 0:
            self._start(self._look(self._on_drift))
        if outcomes.kept is not None and outcomes.thought is not None:
            if self._grader is None:
                try:
                    self._note(group_id, self._same(route_plan, outcomes), None, None, 1.0, 0)
                except LedgerError:  # the answer is there and paid for, and its warnings tell of the store already
                    self.failed += 1
            else:
                self._start(self._grade_both(route_plan, outcomes, 1.0, 0))
        elif not route_plan.tiers or (outcomes.kept or outcomes.thought) is None:
            return
        elif self._rate and self._random.random() < self._rate:
            self._start(self._audit(outcomes, route_plan))

    async def aclose(self) -> None:
        """Wait for the audits under way; cancelled, it ends them."""
        try:
            while self._running:
                await asyncio.gather(*self._running, return_exceptions=True)
        except asyncio.CancelledError:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            raise

    async def _look(self, tell: Callable[[str], object]) -> None:
        """Tell what has drifted, each thing once until it is over."""
        rows = [row for row in self._store.rows(limit=_ROWS) if row.label != "collected"]
        alerts = {alert.partition(" went from ")[0]: alert for alert in drift_of(rows)}
        fresh = alerts.keys() - self._told
        self._told = set(alerts)
        for name in sorted(fresh):
            with contextlib.suppress(Exception):  # what an alarm does is the user's business, and never an answer's
                tell(alerts[name])

    def _start(self, work: Awaitable[None]) -> None:
        if len(self._running) >= _MOST:
            self.skipped += 1
            if inspect.iscoroutine(work):
                work.close()
            return
        task = asyncio.ensure_future(self._guarded(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            if self._slots is None:
                self._slots = asyncio.Semaphore(_AT_ONCE)
            async with self._slots:
                await work
        except DeepthriftError:
            self.failed += 1
        finally:
            if inspect.iscoroutine(work):
                work.close()

    async def _audit(self, outcomes: Outcomes, route_plan: RoutePlan) -> None:
        request, base, top = route_plan.request, route_plan.base, route_plan.top
        thinking = outcomes.thought is None
        if thinking and top is None:
            return
        tier, worst = (top.tier, top.worst) if thinking and top is not None else (base, route_plan.costs.worst_standard)
        client = tier.client
        await refresh_statuses(client.ledger)
        room = room_now(client, request, tier.mode)
        if room is not None and worst > room.left:
            self.skipped += 1
            return
        self.begun += 1
        spec = request.call(client.host, tier.mode, "audit", effort=tier.effort)
        options = spec.options.copy()
        options["group_id"], options["purpose"] = request.group_id, "audit"
        reply = await client.chat(spec.messages, mode=spec.mode, max_tokens=spec.max_tokens, **options)
        both = replace(outcomes, thought=reply) if thinking else replace(outcomes, kept=reply)
        cost = Money.sum((attempt.cost.total for attempt in reply.attempts), route_plan.value.currency).pico
        await self._grade_both(route_plan, both, self._rate, cost)

    async def _grade_both(self, route_plan: RoutePlan, outcomes: Outcomes, propensity: float, cost: int) -> None:
        kept = await self._grade(route_plan, outcomes.kept)
        thinking = await self._grade(route_plan, outcomes.thought)
        given = await self._grade(route_plan, outcomes.given)
        same = self._same(route_plan, outcomes)
        self._note(route_plan.request.group_id, same, kept, thinking, propensity, cost, given)

    async def _grade(self, route_plan: RoutePlan, reply: Reply | None) -> bool | None:
        if reply is None or self._grader is None:
            return None
        if unusable(reply) is not None:
            return False
        with contextlib.suppress(Exception):  # a grader that fails has no verdict, as a validator has none
            verdict = self._grader(route_plan.request.messages, reply)
            return await verdict if inspect.isawaitable(verdict) else verdict
        return None

    def _same(self, route_plan: RoutePlan, outcomes: Outcomes) -> bool | None:
        if outcomes.kept is None or outcomes.thought is None:
            return None
        question = route_plan.request.question
        kept, thought = Draft.of(outcomes.kept, question).answer, Draft.of(outcomes.thought, question).answer
        return None if kept is None or thought is None else same_answer(kept, thought)

    def _note(
        self,
        group_id: str,
        same: bool | None,
        kept: bool | None,
        thinking: bool | None,
        propensity: float,
        cost: int,
        given: bool | None = None,
    ) -> None:
        def change(row: Answered) -> Answered:
            if given is not None and row.tier not in row.tier_right:
                row = row.model_copy(update={"tier_right": {**row.tier_right, row.tier: given}})
            graded = {"kept_right": kept, "thinking_right": thinking, "label": "grader"}
            told = graded if kept is not None and thinking is not None and row.label != "feedback" else {}
            changed = row.model_copy(
                update={"same": same, "propensity": propensity, "audit_cost": row.audit_cost + cost, **told}
            )
            right = changed.right
            # What feedback said of one answer, the other may follow from now.
            return changed.with_verdict(right, "feedback") if row.label == "feedback" and right is not None else changed

        self._store.change(group_id, change)
