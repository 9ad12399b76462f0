"""One call: its requests, their attempts, and the reply that they add up to."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from deepthrift._admission.clock import retry_after, with_retries
from deepthrift._call.attempt.booking import Books
from deepthrift._call.attempt.plain import PlainAttempt
from deepthrift._call.attempt.streamed import StreamAttempt
from deepthrift._call.endpoints.target import Target
from deepthrift._call.failover import Lane, Lanes, is_final, may_go_on, may_retry, more_telling
from deepthrift._call.prepare.passes import Step
from deepthrift._call.questions import name_balance
from deepthrift._types.errors import (
    APIError,
    CircuitOpen,
    DeepthriftError,
    InsufficientBalance,
    InvalidRequestError,
    ModeNotHonoured,
    RequestInfo,
    ResponseError,
    StreamInterrupted,
    ToolCallsMissing,
)
from deepthrift._types.events import Finished, ReasoningDelta, StreamEvent, StreamStarted, TextDelta
from deepthrift._types.options import Options
from deepthrift._types.raw import RawResponse
from deepthrift._types.reply import Reply
from deepthrift._util.secrets import shown_url
from deepthrift._wire.reply.answer import Answer
from deepthrift._wire.tool_calls.textcalls import CALLED
from deepthrift_pricing import Attempt, Cost, Usage

T = TypeVar("T")


class Call:
    """One call, checked on construction; nothing is sent before `run` or `advance`.

    Raises:
        InvalidRequestError: The conversation or an option is wrong.
    """

    def __init__(self, cores: Sequence[Target], options: Options, *, stream: bool) -> None:
        self._options = options
        self._lanes = lanes = Lanes(cores, options, stream=stream)
        self._core = core = lanes.current.core
        self._passes = lanes.current.passes
        tags = {**core.settings.tags, **(options.tags or {})}
        if not all(isinstance(text, str) for pair in tags.items() for text in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError("tags are pairs of strings")
        self._books = Books(core, purpose=options.purpose, group_id=options.group_id, tags=tags)
        self._time = core.clock(options)
        self._current: StreamAttempt | None = None
        self._again = False
        self._raw: RawResponse | None = None
        self._further: Sequence[Answer] = ()
        self.reply: Reply | None = None
        self.ended = False

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts so far, as they are booked."""
        return tuple(self._books.attempts)

    async def _step(self) -> Step:
        """The next request; an engine that counts it may take its time, but not more than the call has."""
        try:
            async with self._time.limit():
                return await self._lanes.current.step()
        except TimeoutError:
            raise self._time.timed_out(math.inf) from None

    # -- plain ------------------------------------------------------------------------------------------------------

    async def run(self) -> Reply:
        """The complete reply.

        Raises:
            DeepthriftError: There is none; the error carries what was tried and spent.
        """
        try:
            while True:
                notes, answer = await self._with_retries(self._plain)
                if not notes:
                    await self._books.written(self._time.left)
                    return self._complete(answer)
                self._take(answer)
        except DeepthriftError as error:
            await self._books.written(self._time.left)
            raise self.told(error) from error.__cause__

    async def _plain(self) -> tuple[bool, Answer]:
        step = await self._step()
        attempt = PlainAttempt(self._core, self._books, self._time, self._passes, step)
        answer = await attempt.run()
        self._raw, self._further = attempt.raw, attempt.further
        return attempt.step.notes, answer

    def _take(self, answer: Answer) -> None:
        """Keep the answer to the first of two requests; the second one goes to the same endpoint."""
        self._check_end(answer, self._reply(self._passes.merged(answer)))
        self._passes.take(answer)
        self._lanes.current.done()
        self._lanes.keep()

    async def run_all(self) -> list[Reply]:
        """The replies of a request that asks for several; the first one carries its attempts and their cost.

        Raises:
            DeepthriftError: As for `run`.
        """
        first = await self.run()
        free = {"attempts": (), "usage": Usage.of(0, 0), "cost": Cost.zero(self._core.currency)}
        try:
            return [first, *(self._complete(answer).model_copy(update=free) for answer in self._further)]
        except DeepthriftError as error:
            raise self.told(error) from error.__cause__

    # -- streamed ---------------------------------------------------------------------------------------------------

    async def advance(self) -> list[StreamEvent]:
        """The next events, ending in `Finished`; none after that.

        Raises:
            DeepthriftError: The stream failed; the error carries what was tried and spent, and what had arrived.
        """
        try:
            while not self.ended:
                events = await (self._open() if self._current is None else self._read())
                if events:
                    return events
        except DeepthriftError as error:
            self._end_early()
            await self._books.written(self._time.left)
            raise self.told(error) from error.__cause__
        except BaseException:
            self._end_early()
            raise
        return []

    async def _open(self) -> list[StreamEvent]:
        events: list[StreamEvent] = []

        async def once() -> None:
            step = await self._step()
            stop = self._options.stop_beyond_max_tokens
            stop = self._core.settings.stop_beyond_max_tokens if stop is None else stop
            self._current = StreamAttempt(self._core, self._books, self._time, self._passes, step, stop_beyond=stop)
            await self._current.open()
            self._raw = self._current.raw
            events.append(StreamStarted(self._current.attempt_id))
            events.extend(await self._read())

        await self._with_retries(once)
        return events

    async def _read(self) -> list[StreamEvent]:
        """The next events as the caller sees them: the text of a first pass is reasoning."""
        current = self._current
        if current is None:
            return []
        events = await current.read()
        if current.step.notes:
            events = [_as_reasoning(event) for event in events]
        if current.ended:
            self._current = None
            if current.step.notes:
                self._take(current.answer)
            else:
                self.ended = True
                answer, known = current.answer, len(self._books.warnings)
                reply = self._complete(answer)
                await self._books.written(self._time.left)
                events.append(Finished(reply if len(self._books.warnings) == known else self._complete(answer)))
        return events

    async def catch_up(self) -> None:
        """Take in what has arrived already, before the rest is not wanted."""
        if not self.ended and self._current is not None:
            await self._current.catch_up()

    def abandon(self) -> None:
        """The caller wants no more: book what arrived and stop the upstream."""
        if not self.ended:
            self._end_early()

    async def written(self) -> None:
        """Wait until what was booked is in the ledger's store, as long as a reply would."""
        await self._books.written(self._time.left)

    def _end_early(self) -> None:
        self.ended = True
        if self._current is not None:
            self._current.abandon()
            if self.reply is None and self._current.started:
                self.reply = self._reply(self._passes.merged(self._current.answer))

    def snapshot(self) -> Reply:
        """The reply as far as it has come."""
        if self.reply is not None:
            return self.reply
        current = self._current
        if current is None:
            return self._reply(self._passes.merged(_nothing(self._options)))
        answer = self._passes.merged(current.answer)
        reply = self._reply(answer)
        in_flight = self._books.attempts[-1] if self._books.attempts else None
        if in_flight is None or in_flight.status != "reserved":
            return reply
        usage = current.partial_usage(current.answer)
        cost = self._books.cost_of(in_flight, usage)
        earlier = self._books.attempts[:-1]
        return reply.model_copy(
            update={
                "usage": Usage.sum([*(attempt.usage for attempt in earlier), usage]),
                "cost": Cost.sum([*(attempt.cost for attempt in earlier), cost], self._core.currency),
            }
        )

    # -- retries and further endpoints ------------------------------------------------------------------------------

    async def _with_retries(self, once: Callable[[], Awaitable[T]]) -> T:
        """`once`, and again where that is safe: at the next endpoint at once, at the same one after a pause."""
        several, most = self._lanes.several, self._options.max_retries
        try:
            return await with_retries(
                (lambda: self._round(once)) if several else once,
                may_retry=(lambda _: self._again) if several else self._retryable,
                max_retries=self._core.settings.max_retries if most is None else most,
                clock=self._time,
                asked=self._asked if several else retry_after,
            )
        except InsufficientBalance as error:
            await name_balance(self._core, error, self._time.left)
            raise

    @property
    def _unanswered(self) -> bool:
        """Whether to ask again where an answer was lost that may be billed."""
        again = self._options.retry_unanswered
        return self._core.settings.retry_unanswered if again is None else again

    def _retryable(self, error: BaseException) -> bool:
        return (
            may_retry(error, self._books, unanswered=self._unanswered) and not self._core.admission.circuit.pause_left
        )

    async def _round(self, once: Callable[[], Awaitable[T]]) -> T:
        """`once` at the first endpoint that can."""
        self._again = False
        failure: DeepthriftError | None = None
        left = ""
        for core in self._lanes.order():
            lane = self._lanes.to(core)
            if lane is None:
                continue
            if left:
                self._books.warnings.append(left.replace("{}", core.profile.name, 1))
            self._use(lane)
            before = len(self._books.attempts)
            try:
                return await once()
            except DeepthriftError as error:
                retryable = self._retryable(error)
                if not may_go_on(error, self._books, before, unanswered=self._unanswered):
                    self._again = retryable  # whatever the others said: what may be billed is not asked for twice
                    raise
                self._again = self._again or retryable
                if is_final(error) and not isinstance(error, CircuitOpen):
                    self._lanes.give_up(lane)
                failure = more_telling(failure, error)
                left = f"{core.profile.name} was left for {{}}: {error.message[:300]}"
        raise failure or RuntimeError("no endpoint was tried")

    def _asked(self, error: BaseException | None) -> float | None:
        """The pause before another round: until one endpoint is ready, where the one that failed asked for more."""
        asked = retry_after(error)
        soonest = min((core.admission.pause_left for core in self._lanes.order()), default=0.0)
        return asked if asked is None or soonest >= asked else soonest or None

    def _use(self, lane: Lane) -> None:
        """Go to another endpoint: its profile, its prices, the same books."""
        if lane is not self._lanes.current:
            self._lanes.current = lane
            self._core, self._passes = lane.core, lane.passes
            self._books = self._books.at(lane.core)

    # -- replies and errors -----------------------------------------------------------------------------------------

    def _complete(self, answer: Answer) -> Reply:
        merged = self._passes.merged(answer)
        self.reply = reply = self._reply(merged)
        if self._options.tools and merged.finish_reason in CALLED and not merged.tool_calls:
            raise ToolCallsMissing(
                "the endpoint said that it called tools, and sent no call that could be read; its tool parser does not "
                "fit V3.1 (vLLM: --tool-call-parser deepseek_v31). `partial` holds what it said",
                partial=reply,
            )
        self._check_end(merged, reply)
        if not merged.honoured and self._core.settings.on_mode_mismatch == "raise":
            raise ModeNotHonoured(
                f"{self._options.mode} mode was asked for and {merged.mode} mode ran; is {self._core.profile.name!r} "
                "the right host profile?",
                partial=reply,
            )
        return reply

    def _check_end(self, answer: Answer, reply: Reply) -> None:
        """Raise if a plain answer came as events that have no end."""
        if answer.complete:
            return
        raise StreamInterrupted(
            "the endpoint sent events in the place of a plain answer, and they ended before the answer did. `partial` "
            "holds what arrived, and its cost is booked; call again for a whole answer",
            partial=reply,
        )

    def _reply(self, answer: Answer) -> Reply:
        attempts, step = tuple(self._books.attempts), self._passes.step
        return Reply(
            text=answer.text,
            reasoning=answer.reasoning,
            mode=answer.mode,
            requested_mode=self._options.mode,
            finish_reason=answer.finish_reason,
            usage=Usage.sum([_used(attempt) for attempt in attempts]),
            cost=Cost.sum((attempt.cost for attempt in attempts), self._core.currency),
            attempts=attempts,
            model=answer.model or (step.request.model if step is not None else self._core.model),
            host=self._core.profile.name,
            call_id=self._books.call_id,
            response_id=answer.response_id,
            tool_calls=answer.tool_calls,
            logprobs=answer.logprobs,
            reasoning_logprobs=answer.reasoning_logprobs,
            warnings=self._passes.warnings + answer.warnings + tuple(self._books.warnings),
            raw=self._raw,
            cached=self._books.cached and all(attempt.status == "released" for attempt in attempts),
            seconds=self._time.elapsed,
        )

    def _info(self) -> RequestInfo:
        step = self._passes.step
        return RequestInfo(
            host=self._core.profile.name,
            url=shown_url(str(self._core.sender.url)),
            model=self._core.profile.model_for(self._options.mode, self._core.model),
            mode=self._options.mode,
            messages=len(self._passes.messages),
            prompt_tokens=step.prompt.tokens if step is not None else None,
            max_tokens=step.request.max_tokens if step is not None else self._options.max_tokens,
            call_id=self._books.call_id,
        )

    def told(self, error: DeepthriftError) -> DeepthriftError:
        """`error` with what was tried, spent and received."""
        self._books.annotate(error, self._info())
        if isinstance(error, ResponseError | APIError) and error.partial is None:
            error.partial = self.reply
        return error


def _used(attempt: Attempt) -> Usage | None:
    """What is known of an attempt's tokens: one that is not billed used none."""
    return Usage.of(0, 0) if attempt.status == "released" else attempt.usage


def _as_reasoning(event: StreamEvent) -> StreamEvent:
    return ReasoningDelta(event.text) if isinstance(event, TextDelta) else event


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
        reasoning_logprobs=None,
        warnings=(),
        honoured=True,
        complete=False,
    )
