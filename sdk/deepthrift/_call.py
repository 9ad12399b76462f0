"""One call: its passes, their attempts, and the reply that they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepthrift._attempts import PlainAttempt, StreamAttempt
from deepthrift._clock import with_retries
from deepthrift._core import Core
from deepthrift._counting import PromptCount, count_prompt_async
from deepthrift._events import Finished, ReasoningDelta, StreamEvent, StreamStarted, TextDelta
from deepthrift._limits import Limits, first_limits, second_limits
from deepthrift._options import Options
from deepthrift._reply import Reply
from deepthrift._tokenize import engine_count
from deepthrift._wire.answer import Answer
from deepthrift._wire.conversation import WireMessage, question_of, wire_messages, with_question
from deepthrift._wire.request import WireRequest, build_request, check_options
from deepthrift.errors import (
    APIError,
    ConnectionFailed,
    ContextLengthExceeded,
    DeepthriftError,
    EmptyResponse,
    ModeNotHonoured,
    RateLimited,
    RequestInfo,
    ResponseError,
    ServerError,
)
from deepthrift_pricing import Cost, Mode, Usage


@dataclass(slots=True)
class _Pass:
    """One request of the call, with what is needed to send it again."""

    request: WireRequest
    prompt: PromptCount
    notes: bool
    """Whether it is the first of two, whose text is the reasoning."""


class Call:
    """One call, checked on construction; nothing is sent before `run` or `advance`."""

    def __init__(self, core: Core, options: Options, *, stream: bool) -> None:
        self._core = core
        self._options = options
        self._stream = stream
        self._messages = wire_messages(options.messages, core.profile)
        self._warnings = check_options(options, core.profile)
        self._two_pass = options.mode == "thinking" and core.profile.two_pass is not None
        self._books = core.books(options)
        self._time = core.clock(options)
        self._notes: Answer | None = None
        self._pass: _Pass | None = None
        self._current: StreamAttempt | None = None
        self._partial_notes = False
        self.reply: Reply | None = None
        self.ended = False

    # -- plain ------------------------------------------------------------------------------------------------------

    async def run(self) -> Reply:
        """The complete reply.

        Raises:
            DeepthriftError: There is none; the error carries what was tried and spent.
        """
        clock = self._time
        try:
            while True:
                step = await self._next_pass()

                async def once(step: _Pass = step) -> Answer:
                    return await PlainAttempt(
                        self._core, self._books, clock, step.request, step.prompt, self._asked(step), notes=step.notes
                    ).run()

                answer = await with_retries(
                    once, may_retry=self._may_retry, max_retries=self._core.settings.max_retries, clock=clock
                )
                if not step.notes:
                    return self._complete(answer)
                self._notes = answer
        except DeepthriftError as error:
            raise self._told(error) from error.__cause__

    # -- streamed ---------------------------------------------------------------------------------------------------

    async def advance(self) -> list[StreamEvent]:
        """The next events, ending in `Finished`; none after that.

        Raises:
            DeepthriftError: The stream failed; the error carries what was tried and spent, and what had arrived.
        """
        try:
            while not self.ended:
                events = await (self._open() if self._current is None else self._current.read())
                events = self._seen(events)
                if self._current is not None and self._current.ended:
                    answer = self._current.answer
                    self._current = None
                    if self._partial_notes:
                        self._notes = answer
                    else:
                        self.ended = True
                        events.append(Finished(self._complete(answer)))
                if events:
                    return events
        except DeepthriftError as error:
            self._end_early()
            raise self._told(error) from error.__cause__
        except BaseException:
            self._end_early()
            raise
        return []

    async def _open(self) -> list[StreamEvent]:
        step = await self._next_pass()
        clock = self._time

        events: list[StreamEvent] = []

        async def once() -> None:
            self._current = attempt = StreamAttempt(
                self._core, self._books, clock, step.request, step.prompt, self._asked(step), notes=step.notes
            )
            await attempt.open()
            events.append(StreamStarted(attempt.attempt_id))
            events.extend(await attempt.read())

        self._partial_notes = step.notes
        await with_retries(once, may_retry=self._may_retry, max_retries=self._core.settings.max_retries, clock=clock)
        return events

    def _seen(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """Events as the caller sees them: the text of a first pass is reasoning."""
        if not self._partial_notes:
            return events
        return [ReasoningDelta(event.text) if isinstance(event, TextDelta) else event for event in events]

    def abandon(self) -> None:
        """The caller wants no more: book what arrived and stop the upstream."""
        if not self.ended:
            self._end_early()

    def _end_early(self) -> None:
        self.ended = True
        if self._current is not None:
            self._current.abandon()
            if self.reply is None and self._current.started:
                self.reply = self._reply(self._merged(self._current.answer))

    def snapshot(self) -> Reply:
        """The reply as far as it has come."""
        if self.reply is not None:
            return self.reply
        current = self._current
        if current is None:
            return self._reply(self._merged(_nothing(self._options)))
        answer = self._merged(current.answer)
        reply = self._reply(answer)
        under_way = self._books.attempts[-1] if self._books.attempts else None
        if under_way is None or under_way.status != "reserved":
            return reply
        usage = current.partial_usage(current.answer)
        cost = self._books.cost_of(under_way, usage)
        earlier = self._books.attempts[:-1]
        return reply.model_copy(
            update={
                "usage": _sum_usage([*(attempt.usage for attempt in earlier), usage]),
                "cost": Cost.sum([*(attempt.cost for attempt in earlier), cost], self._core.currency),
            }
        )

    # -- passes -----------------------------------------------------------------------------------------------------

    def _asked(self, step: _Pass) -> Mode:
        """The mode that one request is expected to run in."""
        return "standard" if self._two_pass else step.request.mode

    async def _next_pass(self) -> _Pass:
        """The next request, counted and built.

        Raises:
            ContextLengthExceeded: It does not fit.
            PriceNotFound: It has no price.
        """
        two_pass = self._core.profile.two_pass if self._two_pass else None
        messages: Sequence[WireMessage] = self._messages
        notes = False
        if two_pass is not None:
            question = question_of(self._messages)
            notes = self._notes is None
            said = (self._notes.text.strip() if self._notes is not None else "") or "(none)"
            asked = two_pass.thinking_prompt(question) if notes else two_pass.answer_prompt(question, said)
            messages = with_question(self._messages, asked)
        core, options = self._core, self._options
        name = core.profile.model_for(options.mode, core.model)
        prompt = await count_prompt_async(core.profile, name, messages, mode=options.mode, tools=options.tools)
        limits = self._limits(prompt, notes)
        if limits.exceeded and not prompt.exact:
            counted = await engine_count(core, messages)
            if counted is not None:
                prompt = PromptCount(counted, counted, "exact")
                limits = self._limits(prompt, notes)
        if limits.exceeded and (prompt.exact or prompt.likely > core.profile.context):
            raise ContextLengthExceeded(
                f"{limits.exceeded}; shorten the conversation, or lower max_tokens", request=self._info(prompt, limits)
            )
        plain = replace(options, response_format=None, logprobs=None, top_logprobs=None) if notes else options
        request = build_request(
            plain,
            core.profile,
            model=core.model,
            messages=messages,
            max_tokens=limits.max_tokens,
            send_max_tokens=limits.send,
            stream=self._stream,
            extra_body=core.settings.extra_body,
        )
        self._pass = _Pass(request, prompt, notes)
        return self._pass

    def _limits(self, prompt: PromptCount, notes: bool) -> Limits:
        if self._two_pass and not notes:
            used = self._notes.usage.completion_tokens if self._notes is not None and self._notes.usage else 0
            return second_limits(self._core.profile, self._options, prompt.tokens, used)
        return first_limits(self._core.profile, self._options, prompt.tokens, notes=notes)

    def _may_retry(self, error: BaseException) -> bool:
        """Whether another attempt could do better, and would not pay twice for one that may be billed."""
        if isinstance(error, EmptyResponse):
            return True
        if not isinstance(error, RateLimited | ServerError | ConnectionFailed | APIError):
            return False
        last = self._books.attempts[-1] if self._books.attempts else None
        if last is None:
            return False
        transient = isinstance(error, RateLimited | ServerError | ConnectionFailed)
        if last.status == "released":
            return transient
        return self._core.settings.retry_unanswered and last.status == "unknown"

    # -- replies and errors -----------------------------------------------------------------------------------------

    def _merged(self, answer: Answer) -> Answer:
        """The answer of the whole call: with two passes, the first one's text is the reasoning."""
        if not self._two_pass:
            return answer
        if self._notes is None:
            said = answer.text.strip() if self._partial_notes or not self._stream else ""
            return replace(answer, text="", reasoning=said or None, mode="thinking", honoured=True, warnings=())
        reasoning = self._notes.text.strip() or None
        ran: Mode = "thinking" if reasoning else "standard"
        warnings = answer.warnings
        if reasoning is None:
            warnings = (*warnings, "the thinking mode was asked for and the first pass said nothing")
        return replace(answer, reasoning=reasoning, mode=ran, honoured=ran == "thinking", warnings=warnings)

    def _complete(self, answer: Answer) -> Reply:
        merged = self._merged(answer)
        self.reply = reply = self._reply(merged)
        if not merged.honoured and self._core.settings.on_mode_mismatch == "raise":
            raise ModeNotHonoured(
                f"{self._options.mode} mode was asked for and {merged.mode} mode ran; is {self._core.profile.name!r} "
                "the right host profile?",
                partial=reply,
            )
        return reply

    def _reply(self, answer: Answer) -> Reply:
        attempts = tuple(self._books.attempts)
        return Reply(
            text=answer.text,
            reasoning=answer.reasoning,
            mode=answer.mode,
            requested_mode=self._options.mode,
            finish_reason=answer.finish_reason,
            usage=_sum_usage([attempt.usage for attempt in attempts]),
            cost=Cost.sum((attempt.cost for attempt in attempts), self._core.currency),
            attempts=attempts,
            model=answer.model or (self._pass.request.model if self._pass else self._core.model),
            host=self._core.profile.name,
            call_id=self._books.call_id,
            response_id=answer.response_id,
            tool_calls=answer.tool_calls,
            logprobs=answer.logprobs,
            warnings=self._warnings + answer.warnings + tuple(self._books.warnings),
            seconds=self._time.elapsed,
        )

    def _info(self, prompt: PromptCount | None = None, limits: Limits | None = None) -> RequestInfo:
        step = self._pass
        prompt = prompt or (step.prompt if step else None)
        return RequestInfo(
            host=self._core.profile.name,
            url=str(self._core.endpoint.url.copy_with(username=None, password=None)),
            model=self._core.profile.model_for(self._options.mode, self._core.model),
            mode=self._options.mode,
            messages=len(self._messages),
            prompt_tokens=prompt.tokens if prompt else None,
            max_tokens=limits.max_tokens if limits else (step.request.max_tokens if step else self._options.max_tokens),
            call_id=self._books.call_id,
        )

    def _told(self, error: DeepthriftError) -> DeepthriftError:
        """`error` with what was tried, spent and received."""
        self._books.annotate(error, self._info())
        if isinstance(error, ResponseError | APIError) and error.partial is None:
            error.partial = self.reply
        return error


def _sum_usage(usages: Sequence[Usage | None]) -> Usage:
    total: Usage | None = None
    for usage in usages:
        if usage is not None:
            total = usage if total is None else total + usage
    return total or Usage.of(0, 0, certainty="unknown" if usages else "exact")


def _nothing(options: Options) -> Answer:
    return Answer(
        text="",
        reasoning=None,
        mode=options.mode,
        finish_reason="incomplete",
        usage=None,
        model=None,
        response_id=None,
        tool_calls=(),
        logprobs=None,
        warnings=(),
        honoured=True,
        complete=False,
    )
