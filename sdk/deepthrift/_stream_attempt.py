"""One attempt whose answer arrives in pieces: booked as far as it came, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from deepthrift._attempts import BaseAttempt
from deepthrift._books import Books
from deepthrift._clock import Clock
from deepthrift._core import Core
from deepthrift._counting import estimated_usage, received_tokens
from deepthrift._events import StreamEvent, TextDelta, ToolCallDelta
from deepthrift._passes import Passes, Step
from deepthrift._raw import RawResponse
from deepthrift._silence import Silence
from deepthrift._wire.answer import Answer
from deepthrift._wire.chunk import parse_chunk
from deepthrift._wire.sse import EventDecoder
from deepthrift.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    DeepthriftError,
    EmptyResponse,
    MalformedResponse,
    StreamInterrupted,
)
from deepthrift_pricing import Usage

_AT_HAND: Final = 2**20
"""More bytes than can have arrived unread: a transport of the user's own may never come to an end."""


class StreamAttempt(BaseAttempt):
    """An attempt whose answer comes in pieces."""

    def __init__(self, core: Core, books: Books, clock: Clock, passes: Passes, step: Step) -> None:
        super().__init__(core, books, clock, passes, step)
        self._events = EventDecoder()
        self._whole: list[bytes] | None = None
        self._noise = False
        self._sniffed = False
        self._silence: Silence | None = None
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
        await self._begin()
        self._end = self._clock.attempt_end()
        try:
            async with asyncio.timeout_at(self._end):
                incoming = await self._send()
            self.raw = RawResponse(incoming.status, incoming.headers)
        except BaseException as error:
            self._broke(error)

    async def read(self) -> list[StreamEvent]:
        """The next events; none only at the end."""
        events: list[StreamEvent] = []
        try:
            silence = self._silence
            first = silence is None
            if silence is None:
                self._silence = silence = Silence(self._clock, self._end)
            while not events and not self.ended:
                incoming = self._incoming
                if incoming is None:
                    raise ConnectionFailed("the stream is closed")
                with silence:
                    data = await incoming.read()
                self._take(data, events)
            if first and events and self._sent and self._ticket is not None:
                self._ticket.answered()
        except BaseException as error:
            self._broke(error)
        return events

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
            if not blocks:
                self._noise = self._noise or _is_noise(data)
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
            if self.started or answer.usage is not None:
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
        self._leave(None, came_through=self._sent)
        self._end_here()
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
        self._leave(ours)
        self.abandon(ours)
        kept = AttemptTimeout | DeadlineExceeded | StreamInterrupted
        if isinstance(ours, DeepthriftError) and self.started and not isinstance(ours, kept):
            if ours is not error:
                ours.__cause__ = error
            raise StreamInterrupted(f"the stream broke before its end: {ours.message}") from ours
        if ours is error:
            raise ours
        raise ours from error

    async def catch_up(self) -> None:
        """Take in what has arrived and was not read yet, for it is billed; waits for nothing further."""
        incoming, size = self._incoming, 0
        with contextlib.suppress(Exception):  # what is wrong with the rest is nobody's concern any more
            async with asyncio.timeout(0):
                while incoming is not None and not self.ended and size < _AT_HAND:
                    data = await incoming.read()
                    self._take(data, [])
                    size += len(data or b"")

    def abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants the rest: book what arrived, and close the connection so that the upstream stops."""
        self._book_partial(error)
        self._leave(error)
        self._end_here()
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._core.endpoint.close_behind(incoming)

    def _end_here(self) -> None:
        self.ended = True
        if self._silence is not None:
            self._silence.close()

    def _book_partial(self, error: BaseException | None) -> None:
        if self._booked or self._attempt is None:
            return
        self._booked = True
        if not self._body.sent:
            self._books.release(self._attempt, error=error)
            return
        answer = self._billed.answer()
        usage = self._with_requests(self.partial_usage(answer), answer)
        self._books.settle(
            self._attempt,
            usage,
            mode=self.step.request.mode,
            finish_reason=answer.finish_reason if answer.complete else "incomplete",
            http_status=self._status(),
            error=error,
            service_tier=answer.service_tier,
        )
        self._note_prefix(usage)

    def _book_unfinished(self) -> None:
        if self._billed.started:
            self._book_partial(None)
        else:
            self._book_unanswered(None)

    def partial_usage(self, answer: Answer) -> Usage:
        """The usage of what has arrived so far, estimated unless the host has reported the end of it."""
        if answer.complete and answer.usage is not None:
            return self._usage(answer)
        profile, model = self._core.profile, self.step.request.model
        why = "the stream did not come to its end; prompt and received tokens were counted here"
        reported = self._reported(answer)
        if reported is None:
            usage = estimated_usage(profile, model, self.step.prompt, answer, self._billed.pieces, why)
        else:
            counted, reasoning = received_tokens(profile, model, answer, self._billed.pieces)
            completion = max(counted, reported.completion_tokens)
            usage = Usage.of(
                reported.prompt_tokens,
                completion,
                cache_hit=reported.cache_hit_tokens,
                reasoning=min(completion, max(reasoning, reported.reasoning_tokens)),
                certainty="estimated",
                notes=(*reported.notes, why),
            )
        if self.step.notes:
            usage = usage.model_copy(update={"reasoning_tokens": usage.completion_tokens})
        return usage


def _is_noise(data: bytes | None) -> bool:
    """Whether bytes of which no event was made are no comment either."""
    start = b"" if data is None else data.lstrip()[:1]
    return bool(start) and start != b":"
