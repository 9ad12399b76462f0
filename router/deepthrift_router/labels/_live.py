"""Both modes and the router on the user's own questions, live, graded and within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict

from deepthrift.errors import ConfigurationError, DeepthriftError, InvalidRequestError
from deepthrift_pricing import Currency, Money
from deepthrift_pricing.reports import bootstrap_mean
from deepthrift_router._learn.estimates import Figure
from deepthrift_router.labels._prompt_runner import HOPELESS, StoppedBy, stopped_by

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._door.router import ModeRouter
    from deepthrift_router.evaluation import Outcome
    from deepthrift_router.labels._graders import ReferenceGrader

Contestant: TypeAlias = Literal["standard", "thinking", "cascade", "auto"]
"""A policy of the router; `standard` and `thinking` are that mode alone."""
CONTESTANTS: Final[tuple[Contestant, ...]] = get_args(Contestant)


class LiveResult(BaseModel):
    """How one policy did."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    policy: Contestant
    questions: int
    accuracy: Figure | None
    """`None` where nothing was graded."""
    cost: Money
    """Of all its answers, the judge not included."""
    cost_per_answer: Figure | None
    """In the currency of `cost`."""
    calls: float
    """Calls per answer."""
    thinking_share: float
    """Share of the answers for which thinking ran."""
    seconds: float
    """Mean wall-clock time of an answer."""
    failed: int
    """Answers that ended in an error; they count as wrong."""


class LiveReport(BaseModel):
    """How the policies did on the same questions."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    results: tuple[LiveResult, ...]
    gain_kept: Figure | None
    """PGR: the share of always-thinking's gain over standard that the last policy keeps, where all three ran."""
    spent: Money
    judged: Money | None
    """What the judge cost; part of `spent`."""
    stopped: str | None
    """Why not all questions were asked, or `None`."""
    stopped_by: StoppedBy | None = None
    """What stopped it: a budget, or an endpoint that is left alone."""


@dataclass(frozen=True, slots=True)
class _PolicyCounts:
    right: int = 0
    cost: int = 0
    calls: int = 0
    thought: bool = False
    seconds: float = 0.0
    failed: bool = False


@dataclass(slots=True)
class _Tally:
    right: list[int] = field(default_factory=list[int])
    costs: list[int] = field(default_factory=list[int])
    calls: int = 0
    thought: int = 0
    seconds: float = 0.0
    failed: int = 0

    def add(self, spec: _PolicyCounts) -> None:
        self.right.append(spec.right)
        self.costs.append(spec.cost)
        self.calls += spec.calls
        self.thought += spec.thought
        self.seconds += spec.seconds
        self.failed += spec.failed


class LiveEvaluation:
    """Asks every question once under each policy.

    A question is begun only if the worst case of all its calls fits the budget, so that every policy has answered the
    same questions.

    Args:
        router: The router that is judged, on the client that makes the calls.
        grader: Grades the answers.
        policies: What is compared.
        max_tokens: The most tokens of each call.
        budget: The most that may be spent, the judge included.
        at_once: Questions that are asked at the same time.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        router: ModeRouter[AsyncClient],
        grader: ReferenceGrader,
        *,
        policies: Sequence[Contestant] = ("standard", "thinking", "auto"),
        max_tokens: int | None = None,
        budget: Money | None = None,
        at_once: int = 4,
    ) -> None:
        unknown = [name for name in policies if name not in CONTESTANTS]
        if unknown or not policies:
            raise ConfigurationError(f"policies are of {', '.join(CONTESTANTS)}, not {unknown or 'none'}")
        if at_once < 1:
            raise ConfigurationError(f"at_once is 1 or more, not {at_once!r}")
        self._router = router
        self._grader = grader
        self._policies = tuple(dict.fromkeys(policies))
        self._max_tokens = max_tokens
        self._budget = budget
        self._at_once = at_once
        self._tallies = {name: _Tally() for name in self._policies}
        self._spent: Money | None = None
        self._under_way = 0
        self._stopped: str | None = None
        self._stopped_by: StoppedBy | None = None

    async def run(self, questions: Sequence[Outcome], progress: Callable[[int], object] | None = None) -> LiveReport:
        """The report. `progress` hears how many questions are done.

        Raises:
            ConfigurationError: A question has no reference.
            IsolationUnavailable: The answers are code, which cannot be isolated here; nothing was asked.
            AuthenticationFailed, InsufficientBalance, PermissionRefused: No other question would fare better.
        """
        bare = [question.id for question in questions if question.reference is None]
        if bare:
            raise ConfigurationError(f"{len(bare)} questions have no reference to grade by, such as {bare[0]!r}")
        await self._grader.check()
        left = iter(questions)
        try:
            async with asyncio.TaskGroup() as together:
                for _ in range(min(self._at_once, len(questions))):
                    together.create_task(self._work(left, progress))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return self._report()

    async def _work(self, left: Iterator[Outcome], progress: Callable[[int], object] | None) -> None:
        for question in left:
            if self._stopped is not None:
                return
            try:
                worst = self._worst(question)
            except InvalidRequestError:  # it is too long, say, and under every policy
                self._count([_PolicyCounts(failed=True)] * len(self._policies), progress)
                continue
            if self._budget is not None and self._total + self._under_way + worst > self._budget.pico:
                self._stopped = (
                    f"the next question may cost up to {Money(worst, self._budget.currency)}, and "
                    f"{Money(self._total, self._budget.currency)} of {self._budget} are spent; raise the budget"
                )
                self._stopped_by = "budget"
                return
            self._under_way += worst
            try:
                spec = [await self._ask(question, policy) for policy in self._policies]
            except DeepthriftError as error:
                if (by := stopped_by(error)) is None:
                    raise
                self._stopped, self._stopped_by = error.message, by
                return
            finally:
                self._under_way -= worst
            self._count(spec, progress)  # only now, so that the policies are judged on the same questions

    def _count(self, spec: Sequence[_PolicyCounts], progress: Callable[[int], object] | None) -> None:
        for policy, each in zip(self._policies, spec, strict=True):
            self._tallies[policy].add(each)
        if progress is not None:
            progress(len(self._tallies[self._policies[-1]].right))

    def _worst(self, question: Outcome) -> int:
        plans = self._router.plan(question.conversation, max_tokens=self._max_tokens, policy="cascade").plans
        most = {plan.plan: plan.worst.pico for plan in plans}
        routed = most.get("cascade", most["standard"]) + most["standard"]
        each = {"standard": most["standard"], "thinking": most.get("thinking", 0)}
        return sum(each.get(policy, routed) for policy in self._policies)

    async def _ask(self, question: Outcome, policy: Contestant) -> _PolicyCounts:
        cost = lost = Money.zero(self._currency)
        try:
            reply = await self._router.chat(question.conversation, max_tokens=self._max_tokens, policy=policy)
            cost = reply.cost.total
            verdict = await self._grader.grade(question.question, reply, question.reference or "")
            thought = any(attempt.mode == "thinking" for attempt in reply.attempts)
            return _PolicyCounts(int(verdict or False), cost.pico, len(reply.attempts), thought, reply.seconds)
        except DeepthriftError as error:
            lost = error.spend or lost  # of the calls that failed: the answer's, or its judge's
            if stopped_by(error) is not None or isinstance(error, HOPELESS):
                raise
            return _PolicyCounts(cost=(cost or lost).pico, failed=True)
        finally:
            self._spent = cost + lost if self._spent is None else self._spent + cost + lost

    @property
    def _currency(self) -> Currency:
        return "CNY" if {row.currency for row in self._router.client.prices.rows} == {"CNY"} else "USD"

    @property
    def _total(self) -> int:
        judged = self._grader.spent
        return (0 if self._spent is None else self._spent.pico) + (0 if judged is None else judged.pico)

    def _report(self) -> LiveReport:
        return LiveReport(
            results=tuple(self._result(policy) for policy in self._policies),
            gain_kept=self._gain_kept(),
            spent=Money(self._total, self._currency),
            judged=self._grader.spent,
            stopped=self._stopped,
            stopped_by=self._stopped_by,
        )

    def _result(self, policy: Contestant) -> LiveResult:
        tally = self._tallies[policy]
        count = len(tally.right)
        return LiveResult(
            policy=policy,
            questions=count,
            accuracy=_figure(tally.right),
            cost=Money(sum(tally.costs), self._currency),
            cost_per_answer=_figure(tally.costs, 1e-12),
            calls=tally.calls / max(1, count),
            thinking_share=tally.thought / max(1, count),
            seconds=tally.seconds / max(1, count),
            failed=tally.failed,
        )

    def _gain_kept(self) -> Figure | None:
        last = self._policies[-1]
        if not {"standard", "thinking"} <= self._tallies.keys() or last in ("standard", "thinking"):
            return None
        standard, thinking, routed = (self._tallies[name].right for name in ("standard", "thinking", last))
        count = min(len(standard), len(thinking), len(routed))
        gain = sum(thinking[:count]) - sum(standard[:count])
        if count < 2 or gain <= 0:
            return None
        # The interval of what was kept, at the gain that was measured: a bootstrap of the ratio has none where it is 0.
        mean, low, high = bootstrap_mean([b - a for a, b in zip(standard, routed, strict=False)])
        share = count / gain
        return Figure(value=mean * share, low=low * share, high=high * share, rows=count)


def _figure(values: Sequence[int], unit: float = 1.0) -> Figure | None:
    if not values:
        return None
    mean, low, high = bootstrap_mean(values)
    return Figure(value=mean * unit, low=low * unit, high=high * unit, rows=len(values))
