"""One attempt, plain or streamed: reserved, sent, read, booked. Whatever happens, it is booked exactly once."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import httpx

from deepthrift._books import Books
from deepthrift._clock import Clock
from deepthrift._core import Core
from deepthrift._counting import estimated_usage, received_tokens, with_reasoning_tokens
from deepthrift._endpoint import Incoming, RequestBody
from deepthrift._events import StreamEvent, TextDelta, ToolCallDelta
from deepthrift._passes import Passes, Step
from deepthrift._wire.answer import Accumulator, Answer
from deepthrift._wire.chunk import Chunk, parse_chunk
from deepthrift._wire.failures import NOT_BILLED, error_in_answer, status_error
from deepthrift._wire.sse import EventDecoder
from deepthrift.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    DeepthriftError,
    EmptyResponse,
    InsufficientBalance,
    MalformedResponse,
    StatusError,
    StreamInterrupted,
)
from deepthrift_pricing import Attempt, Usage

_PATH: Final = "/chat/completions"
_ERROR_BODY: Final = 65_536


class _Attempt:
    """What plain and streamed attempts have in common."""

    def __init__(self, core: Core, books: Books, clock: Clock, passes: Passes, step: Step) -> None:
        self._core = core
        self._books = books
        self._clock = clock
        self._passes = passes
        self.step = step
        """What is sent; less than was asked for, where a budget's policy says so."""
        self._accumulator = Accumulator(core.profile, step.expects)
        self._body = RequestBody(step.request.body)
        self._incoming: Incoming | None = None
        self._end = 0.0
        self._attempt: Attempt | None = None
        self._booked = False

    @property
    def attempt_id(self) -> str:
        """The attempt's id in the ledger."""
        return self._held.id

    @property
    def _held(self) -> Attempt:
        if self._attempt is None:
            raise RuntimeError("the attempt has not been reserved")
        return self._attempt

    async def _reserve(self) -> None:
        self._core.check_balance()
        wait = self._core.settings.budget_wait
        left = self._clock.left
        limit = min(left, float("inf") if wait is None else wait)
        self._attempt, step = await self._books.reserve(
            self._passes, self.step, None if limit == float("inf") else max(0.0, limit)
        )
        if step is not self.step:
            self.step = step
            self._accumulator = Accumulator(self._core.profile, step.expects)
            self._body = RequestBody(step.request.body)

    async def _send(self) -> Incoming:
        """Send, and return the response when its head is there and is a success."""
        self._incoming = incoming = await self._core.endpoint.send(
            _PATH, self._body, len(self.step.request.body), self.step.request.headers
        )
        if incoming.status >= 300:
            data = await incoming.read_all(_ERROR_BODY)
            await incoming.close()
            error = status_error(
                incoming.status, data, incoming.headers, host=self._core.profile.name, secrets=(self._core.key,)
            )
            if isinstance(error, InsufficientBalance):
                self._core.ran_out_of_balance(error)
            raise error
        return incoming

    def _translate(self, error: BaseException) -> BaseException:
        """Ours for a low-level error; anything else as it is."""
        if isinstance(error, DeepthriftError):
            return error
        if isinstance(error, TimeoutError) and error.errno is None:
            return self._clock.timed_out(self._end)
        where = self._core.endpoint.url.copy_with(username=None, password=None)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | ssl.SSLError):
            return ConnectionFailed(
                f"no connection to {where}: {_said(error)}. Is the server running, and the URL right?"
            )
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
            tail = "It may be billed, so it stays booked" if self._body.sent else "Nothing was sent"
            return ConnectionFailed(f"the connection to {where} was lost: {_said(error)}. {tail}")
        return error

    def _status(self) -> int | None:
        return None if self._incoming is None else self._incoming.status

    def _book_unanswered(self, error: BaseException, *, unbilled: bool = False) -> None:
        """Book an attempt of which no usable answer came."""
        if self._booked or self._attempt is None:
            return
        self._booked = True
        status = self._status()
        refused = status is not None and status >= 300 and status in NOT_BILLED
        if unbilled or refused or not self._body.sent:
            self._books.release(self._attempt, http_status=status, error=error)
        else:
            self._books.hold(self._attempt, http_status=status, error=error)

    def _usage(self, answer: Answer) -> Usage:
        profile, model = self._core.profile, self.step.request.model
        if answer.usage is None:
            usage = estimated_usage(
                profile, model, self.step.prompt, answer, self._accumulator.pieces, "the host reported no usage"
            )
        else:
            usage = with_reasoning_tokens(profile, model, answer, answer.usage)
        if self.step.notes:  # the first of two passes: all of it is reasoning
            usage = usage.model_copy(update={"reasoning_tokens": usage.completion_tokens})
        return usage

    def _book(self, answer: Answer) -> None:
        """Book a complete answer."""
        if self._booked:
            return
        self._booked = True
        mode = self.step.request.mode if self._core.profile.two_pass is not None else answer.mode
        self._books.settle(
            self._held,
            self._usage(answer),
            mode=mode,
            finish_reason=answer.finish_reason,
            http_status=self._status(),
        )

    def _error_event(self, chunk: Chunk) -> tuple[DeepthriftError, bool]:
        """The error in an answer's place, and whether it is known not to be billed."""
        value: object = chunk.error if chunk.error is not None else chunk.model_dump(exclude_none=True)
        error, told = error_in_answer(value, host=self._core.profile.name, secrets=(self._core.key,))
        if isinstance(error, InsufficientBalance):
            self._core.ran_out_of_balance(error)
        status = error.status if isinstance(error, StatusError) else 400
        return error, told and status in NOT_BILLED


class PlainAttempt(_Attempt):
    """An attempt whose answer comes in one piece."""

    async def run(self) -> Answer:
        """The answer.

        Raises:
            DeepthriftError: There is none; the attempt is booked as far as it may be billed.
        """
        await self._reserve()
        self._end = self._clock.attempt_end()
        try:
            async with asyncio.timeout_at(self._end):
                incoming = await self._send()
                data = await incoming.read_all()
            answer = self._parse(data)
            self._book(answer)
        except BaseException as error:
            ours = self._translate(error)
            self._book_unanswered(ours)
            if self._incoming is not None:
                self._core.endpoint.close_behind(self._incoming)
            if ours is error:
                raise
            raise ours from error
        await incoming.close()
        return answer

    def _parse(self, data: bytes) -> Answer:
        body = data.strip()
        if not body:
            raise EmptyResponse("the endpoint reported success and sent a blank body; it may be billed, so it is held")
        if body.startswith((b"data:", b":", b"event:")):
            events = EventDecoder()
            chunks = [parse_chunk(event) for event in [*events.feed(data), *events.flush()] if event != b"[DONE]"]
        else:
            chunks = [parse_chunk(body)]
        for chunk in chunks:
            if chunk.is_error:
                error, unbilled = self._error_event(chunk)
                self._book_unanswered(error, unbilled=unbilled)
                raise error
            self._accumulator.add(chunk)
        if not any(choice.message or choice.delta for chunk in chunks for choice in chunk.choices or ()):
            raise MalformedResponse(
                "the endpoint's answer has no choices with a message; does the base URL end where it should, "
                "such as in '/v1'?"
            )
        self._accumulator.flush()
        self._accumulator.done = True
        return self._accumulator.answer()


class StreamAttempt(_Attempt):
    """An attempt whose answer comes in pieces."""

    def __init__(self, core: Core, books: Books, clock: Clock, passes: Passes, step: Step) -> None:
        super().__init__(core, books, clock, passes, step)
        self._events = EventDecoder()
        self._whole: list[bytes] | None = None
        self._noise = False
        self._sniffed = False
        self.ended = False

    @property
    def answer(self) -> Answer:
        """What has been said so far, or all of it."""
        return self._accumulator.answer()

    @property
    def started(self) -> bool:
        """Whether any token has arrived."""
        return self._accumulator.started

    async def open(self) -> None:
        """Reserve and send; returns when the endpoint has accepted."""
        await self._reserve()
        self._end = self._clock.attempt_end()
        try:
            async with asyncio.timeout_at(self._end):
                await self._send()
        except BaseException as error:
            self._broke(error)

    async def read(self) -> list[StreamEvent]:
        """The next events; none only at the end."""
        events: list[StreamEvent] = []
        try:
            while not events and not self.ended:
                async with asyncio.timeout_at(self._clock.read_end(self._end)):
                    data = await self._read()
                self._take(data, events)
        except BaseException as error:
            self._broke(error)
        return events

    async def _read(self) -> bytes | None:
        if self._incoming is None:
            raise ConnectionFailed("the stream is closed")
        return await self._incoming.read()

    def _take(self, data: bytes | None, events: list[StreamEvent]) -> None:
        if not self._sniffed and data is not None:
            start = data.lstrip()
            self._sniffed = bool(start)
            if start.startswith((b"{", b"[")):
                self._whole = []  # not a stream after all: one JSON, in most cases an error
        if self._whole is not None:
            if data is not None:
                self._whole.append(data)
                return
            blocks = [b"".join(self._whole).strip()]
        else:
            blocks = self._events.flush() if data is None else self._events.feed(data)
            self._noise = self._noise or _is_noise(data, blocks)
        for block in blocks:
            if block == b"[DONE]":
                self._accumulator.done = True
                break
            chunk = parse_chunk(block)
            if chunk.is_error:
                error, unbilled = self._error_event(chunk)
                if not self.started:
                    self._book_unanswered(error, unbilled=unbilled)
                raise error
            if chunk.choices is None and chunk.usage is None:
                raise MalformedResponse("the stream sent JSON that is not a chunk of a chat; is the base URL right?")
            events += self._accumulator.add(chunk)
        if self._accumulator.done or data is None:
            self._finish(events, at_end=data is None)

    def _finish(self, events: list[StreamEvent], *, at_end: bool) -> None:
        events += self._accumulator.flush()
        answer = self._accumulator.answer()
        if not self._accumulator.finished:
            if self.started:
                raise ConnectionFailed("the stream ended before the answer did")
            if self._noise:
                raise MalformedResponse("the endpoint did not send a stream of events; is the base URL right?")
        if answer.blank and answer.finish_reason in ("unknown", "incomplete") and answer.usage is None:
            raise EmptyResponse("the endpoint opened a stream and sent nothing in it; it may be billed, so it is held")
        if answer.text.strip() and not self._accumulator.has_text:
            events.append(TextDelta(answer.text))
        if answer.tool_calls and not self._accumulator.has_tool_calls:
            events += [
                ToolCallDelta(index, call.id, call.name, call.arguments) for index, call in enumerate(answer.tool_calls)
            ]
        self._book(answer)
        self.ended = True
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            if at_end:
                self._core.endpoint.close_behind(incoming)
            else:
                self._core.endpoint.let_go(incoming)

    def _broke(self, error: BaseException) -> None:
        """Book what arrived, close the connection, and raise what the caller should see."""
        ours = self._translate(error)
        if isinstance(ours, DeepthriftError):
            if self.started:
                self._book_partial(ours)
            else:
                self._book_unanswered(ours)
        self.abandon(ours)
        kept = AttemptTimeout | DeadlineExceeded | StreamInterrupted
        if isinstance(ours, DeepthriftError) and self.started and not isinstance(ours, kept):
            if ours is not error:
                ours.__cause__ = error
            raise StreamInterrupted(f"the stream broke before its end: {ours.message}") from ours
        if ours is error:
            raise ours
        raise ours from error

    def abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants the rest: book what arrived, and close the connection so that the upstream stops."""
        self._book_partial(error)
        self.ended = True
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._core.endpoint.close_behind(incoming)

    def _book_partial(self, error: BaseException | None) -> None:
        if self._booked or self._attempt is None:
            return
        self._booked = True
        if not self._body.sent:
            self._books.release(self._attempt, error=error)
            return
        answer = self._accumulator.answer()
        self._books.settle(
            self._attempt,
            self.partial_usage(answer),
            mode=self.step.request.mode,
            finish_reason=answer.finish_reason if answer.complete else "incomplete",
            http_status=self._status(),
            error=error,
        )

    def partial_usage(self, answer: Answer) -> Usage:
        """The usage of what has arrived so far, estimated unless the host has reported the end of it."""
        if answer.complete and answer.usage is not None:
            return self._usage(answer)
        profile, model = self._core.profile, self.step.request.model
        why = "the stream did not come to its end; prompt and received tokens were counted here"
        if answer.usage is None:
            usage = estimated_usage(profile, model, self.step.prompt, answer, self._accumulator.pieces, why)
        else:
            counted, reasoning = received_tokens(profile, model, answer, self._accumulator.pieces)
            completion = max(counted, answer.usage.completion_tokens)
            usage = Usage.of(
                answer.usage.prompt_tokens,
                completion,
                cache_hit=answer.usage.cache_hit_tokens,
                reasoning=min(completion, max(reasoning, answer.usage.reasoning_tokens)),
                certainty="estimated",
                notes=(why,),
            )
        if self.step.notes:
            usage = usage.model_copy(update={"reasoning_tokens": usage.completion_tokens})
        return usage


def _is_noise(data: bytes | None, blocks: list[bytes]) -> bool:
    """Whether bytes came that are neither events nor comments."""
    start = b"" if data is None else data.lstrip()[:1]
    return bool(start) and start != b":" and not blocks


def _said(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
