"""One prompt asked in both modes, and what came of it as a recorded outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from deepthrift import ChatOptions, Reply
from deepthrift.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    CircuitOpen,
    DeepthriftError,
    InsufficientBalance,
    PermissionRefused,
)
from deepthrift_pricing import Money, Purpose, new_id
from deepthrift_router._answers.answers import final_text
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._calls.request import Request
from deepthrift_router._evidence.call_check import CallCheck
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router.evaluation import Extra, Outcome

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router.labels._graders import ReferenceGrader

HOPELESS: Final = (AuthenticationFailed, InsufficientBalance, PermissionRefused)
"""After these no other question would fare better."""
StoppedBy: TypeAlias = Literal["budget", "endpoint"]


def stopped_by(error: DeepthriftError) -> StoppedBy | None:
    """What a run comes to its end by, with its report: a budget, or an endpoint that is left alone for a while.

    `None` for any other error, one of `HOPELESS` among them.
    """
    if isinstance(error, HOPELESS):
        return None
    if isinstance(error, BudgetExceeded):
        return "budget"
    return "endpoint" if isinstance(error, CircuitOpen) else None


@dataclass(frozen=True, slots=True)
class PromptRunner:
    """How prompts are asked; see `Collector`."""

    client: AsyncClient
    samples: int
    max_tokens: int | None
    grader: ReferenceGrader | None
    checks: Sequence[CallCheck]
    others: Mapping[str, AsyncClient]

    def question(self, prompt: Outcome, tags: Mapping[str, str]) -> Question:
        """`prompt`, ready to be asked."""
        options: ChatOptions = {"tags": tags}
        if "logprobs" in self.client.host.rules("standard").features:
            options["logprobs"] = True
        request = Request(prompt.conversation, self.max_tokens, options, new_id("group"))
        host = self.client.host
        samples = [request.sample(host, number) for number in range(2, self.samples + 1)]
        thinking = request.thinking(host, "sample")
        thinking.options.pop("logprobs", None)
        return Question(self, prompt, request, [request.standard(host), *samples], thinking)


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with all its calls."""

    runner: PromptRunner
    prompt: Outcome
    request: Request
    standard: Sequence[CallSpec]
    thinking: CallSpec

    @property
    def worst(self) -> Money:
        """The most that all its calls can cost, the judge not included."""
        client = self.runner.client
        estimates = [self._estimate(client, spec) for spec in (*self.standard, self.thinking)]
        # A check's prompt holds the answer, too, and what it gets is no longer; prompts cost no more than answers.
        checks = estimates[0] * (2 * len(self.runner.checks))
        others = [self._estimate(other, self._plain) for other in self.runner.others.values()]
        return Money.sum([*estimates, *others], checks.currency) + checks

    @property
    def _plain(self) -> CallSpec:
        """The standard call without what other endpoints may not have."""
        first = self.standard[0]
        return CallSpec("standard", "verify", first.messages, first.max_tokens, self.request.plain_options())

    @staticmethod
    def _estimate(client: AsyncClient, spec: CallSpec) -> Money:
        return client.estimate(spec.messages, mode=spec.mode, max_tokens=spec.max_tokens, **spec.options).worst

    async def ask(self, spend: Callable[[Money], None], ungraded: dict[str, str]) -> Outcome:
        """All calls one after the other; `spend` hears of the cost of each, `ungraded` gets why it has no grade.

        Raises:
            DeepthriftError: A call of the two modes failed. A check that fails is left out.
        """
        client = self.runner.client
        standard = [await self._send(client, spec, spec.purpose, spend) for spec in self.standard]
        thinking = await self._send(client, self.thinking, "sample", spend)
        others = {
            name: await self._send_or_none(other, self._plain, spend) for name, other in self.runner.others.items()
        }
        signals = await self._signals(standard, spend)
        grades = [await self._grade(reply, ungraded) for reply in (*standard, thinking)]
        return self._outcome(standard, thinking, others, signals, grades)

    async def _send(
        self, client: AsyncClient, spec: CallSpec, purpose: Purpose, spend: Callable[[Money], None]
    ) -> Reply:
        options = spec.options.copy()
        options["group_id"], options["purpose"] = self.request.group_id, purpose
        reply = await client.chat(spec.messages, mode=spec.mode, max_tokens=spec.max_tokens, **options)
        spend(reply.cost.total)
        return reply

    async def _send_or_none(self, client: AsyncClient, spec: CallSpec, spend: Callable[[Money], None]) -> Reply | None:
        try:
            return await self._send(client, spec, "verify", spend)
        except DeepthriftError as error:
            if error.spend is not None:
                spend(error.spend)
            return None

    async def _signals(self, standard: Sequence[Reply], spend: Callable[[Money], None]) -> dict[str, str]:
        """What each check says of the first answer."""
        drafts = [Draft.of(reply, self.request.question) for reply in standard]
        logprobs = "logprobs" in self.runner.client.host.rules("standard").features
        outcomes: dict[str, str] = {}
        for check in self.runner.checks:
            spec = check.ask(drafts, self.request, logprobs=logprobs)
            if isinstance(spec, str) or unusable(standard[0]) is not None:
                continue
            reply = await self._send_or_none(self.runner.client, spec, spend)
            read = await check.read([reply], drafts, self.request)
            if not isinstance(read, str):
                outcomes[check.name] = read.outcome
        return outcomes

    def _outcome(
        self,
        standard: Sequence[Reply],
        thinking: Reply,
        others: Mapping[str, Reply | None],
        signals: Mapping[str, str],
        grades: Sequence[bool | None],
    ) -> Outcome:
        prompt, first = self.prompt, standard[0]
        known = [float(grade) for grade in grades[:-1] if grade is not None]
        logprobs = [_logprobs(reply) for reply in standard]
        extra = Extra(
            sample_finals=tuple(_final(reply) for reply in standard),
            sample_answers=tuple(reply.text for reply in standard),
            sample_tokens=tuple(reply.usage.completion_tokens for reply in standard),
            other_models={name: None if reply is None else _final(reply) for name, reply in others.items()},
            logprobs=tuple(logprobs) if any(logprobs) else None,
        )
        if signals:
            extra = extra.model_copy(update={"signals": dict(signals)})
        return prompt.model_copy(
            update={
                "source": prompt.source or "collected",
                "standard_model": first.model,
                "thinking_model": thinking.model,
                "same_weights": first.model == thinking.model,
                "standard_correct": None if grades[0] is None else float(grades[0]),
                "thinking_correct": None if grades[-1] is None else float(grades[-1]),
                "standard_samples_correct": tuple(known) if len(known) == len(standard) else None,
                "prompt_tokens": first.usage.prompt_tokens,
                "standard_tokens": first.usage.completion_tokens,
                "thinking_tokens": thinking.usage.completion_tokens,
                "standard_latency_s": round(first.seconds, 3),
                "thinking_latency_s": round(thinking.seconds, 3),
                "standard_answer": first.text,
                "thinking_answer": thinking.text,
                "standard_final": _final(first),
                "thinking_final": _final(thinking),
                "standard_finish": first.finish_reason,
                "standard_extra": extra,
                "provenance": f"{self.runner.client.host.name} {first.model}",
            }
        )

    async def _grade(self, reply: Reply, ungraded: dict[str, str]) -> bool | None:
        """The grade; a grader that fails costs no row, for its answers are paid for, and can be graded later."""
        grader, reference = self.runner.grader, self.prompt.reference
        if grader is None or reference is None:
            return None
        try:
            return await grader.grade(self.prompt.question, reply, reference)
        except DeepthriftError as error:
            ungraded[self.prompt.id] = f"{type(error).__name__}: {error}"
            return None


def _final(reply: Reply) -> str | None:
    return None if unusable(reply) is not None else final_text(reply.text)


def _logprobs(reply: Reply) -> tuple[float, ...]:
    return tuple(token.logprob for token in reply.logprobs or () if token.logprob is not None)
