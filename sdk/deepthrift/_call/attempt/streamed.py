"""One attempt whose answer arrives in pieces: booked as far as it came, however it ends."""

from __future__ import annotations

import asyncio
from typing import Final

from deepthrift._admission.clock import Clock
from deepthrift._admission.idle_timeout import IdleTimeout
from deepthrift._call.attempt.booking import Books
from deepthrift._call.attempt.overrun import Overrun
from deepthrift._call.attempt.plain import BaseAttempt
from deepthrift._call.attempt.usage_claims import partial_usage_of
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.passes import Passes, Step
from deepthrift._net.limits import LARGEST_RESPONSE
from deepthrift._types.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    DeepthriftError,
    EmptyResponse,
    MalformedResponse,
    ResponseTooLarge,
    StreamInterrupted,
)
from deepthrift._types.events import StreamEvent, TextDelta, ToolCallDelta
from deepthrift._types.raw import RawResponse
from deepthrift._wire.errors.failures import error_text, unreadable, without_secrets
from deepthrift._wire.events.body import BodyReader
from deepthrift._wire.events.chunk import Chunk
from deepthrift._wire.events.heartbeat import is_heartbeat
from deepthrift._wire.events.large import LARGE, off_loop
from deepthrift._wire.events.sse import DONE, EventDecoder
from deepthrift._wire.reply.answer import Answer
from deepthrift._wire.request.request import WireRequest
from deepthrift_pricing import Usage

_AT_HAND: Final = 2**20
"""More bytes than can have arrived unread: a transport of the user's own may never come to an end."""
_EVENT: Final = 1024
"""Bytes of the event around one token, with room to spare."""
_LOGPROBS_EVENT: Final = 8192

_NOISE: Final = 16_384
"""Bytes that are kept of what is no stream, to quote from."""


class StreamAttempt(BaseAttempt):
    """An attempt whose answer comes in pieces."""

    def __init__(
        self, core: Target, books: Books, clock: Clock, passes: Passes, step: Step, *, stop_beyond: bool = False
    ) -> None:
        super().__init__(core, books, clock, passes, step)
        self._events = EventDecoder(core.settings.max_response_bytes)
        self._body_reader = BodyReader(self._events)
        self._stop_beyond = stop_beyond
        self._overrun: Overrun | None = None
        self._stray: bytes | None = None
        """The last JSON that was no part of a chat."""
        self._silence: IdleTimeout | None = None
        self._unbilled = False
        self._due: Chunk | None = None
        """The chunk that may be far past `max_tokens`; it waits for the count."""
        self._cut = False
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
            incoming.limit = stream_limit(self._core.settings.max_response_bytes, self.step.request)
            self.raw = RawResponse(incoming.status, incoming.headers)
            if self._stop_beyond and self._sent:
                self._overrun = Overrun(self._core.profile, self.step.request)
        except BaseException as error:
            self._broke(error)

    async def read(self) -> list[StreamEvent]:
        """The next events; none only at the end."""
        events: list[StreamEvent] = []
        try:
            idle_timeout = self._silence
            first = idle_timeout is None
            if idle_timeout is None:
                self._silence = idle_timeout = IdleTimeout(self._clock, self._end)
            while not events and not self.ended:
                incoming = self._incoming
                if incoming is None:
                    raise ConnectionFailed("the stream is closed")
                with idle_timeout:
                    data = await incoming.read()
                blocks = self._body_reader.feed(data)
                for block in blocks:
                    if len(block) < LARGE:
                        self._add(block, events)
                    else:
                        await off_loop(self._add, block, events)
                    if self._due is not None:
                        await self._count(self._due, events)
                    if self._accumulator.done:
                        break
                if self._accumulator.done or data is None:
                    self._finish(events, at_end=data is None or self._cut)
            if first and events and self._sent and self._permit is not None:
                self._permit.answered()
        except BaseException as error:
            self._broke(error)
        return events

    def _add(self, block: bytes, events: list[StreamEvent]) -> None:
        """Take in the data of one event."""
        if block == DONE:
            self._accumulator.done = True
            return
        if is_heartbeat(block):
            return
        chunk = self._chunk(block)
        if chunk.is_error:
            error, unbilled = self._error_event(chunk)
            self._unbilled = unbilled and not self.started
            raise error
        if chunk.choices is None and chunk.usage is None:
            self._stray = block  # a gateway's own: no reason to lose an answer that is paid for
            return
        if self._overrun is not None and self._overrun.add(chunk):
            self._due = chunk
        else:
            events += self._accumulator.add(chunk)

    async def _count(self, chunk: Chunk, events: list[StreamEvent]) -> None:
        """Counts what has arrived, and ends the stream before `chunk` if that is far past `max_tokens`."""
        overrun, self._due = self._overrun, None
        if overrun is not None and await overrun.far_past():
            self._cut = True
            warning = (
                f"the endpoint went on past max_tokens={self.step.request.max_tokens:,}; the stream was ended after "
                f"about {overrun.tokens:,} tokens, which are booked; stop_beyond_max_tokens=False lets it go on"
            )
            self._accumulator.cut_at_limit(warning, overrun.tokens)
        else:
            events += self._accumulator.add(chunk)

    def _finish(self, events: list[StreamEvent], *, at_end: bool) -> None:
        events += self._accumulator.flush()
        answer = self._accumulator.answer()
        nothing = answer.usage is None and not self.started and answer.finish_reason in ("unknown", "incomplete")
        if not self._accumulator.finished or (nothing and self._stray is not None):
            if self.started or answer.usage is not None:
                raise ConnectionFailed("the stream ended before the answer did")
            if self._stray is not None:
                said = without_secrets(error_text(self._stray)[0], *self._core.secrets)[:300]
                raise MalformedResponse(
                    f"the stream sent JSON that is not a chunk of a chat; is the base URL right? It said: {said}"
                )
            if self._body_reader.noise:
                error = MalformedResponse("the endpoint did not send a stream of events; is the base URL right?")
                raise unreadable(
                    self._body_reader.noise,
                    error,
                    host=self._core.profile.name,
                    secrets=self._core.secrets,
                    sent=self.step.request.body,
                )
        if answer.blank and answer.finish_reason in ("unknown", "incomplete") and answer.usage is None:
            raise EmptyResponse("the endpoint opened a stream and sent nothing in it; it may be billed, so it is held")
        if answer.text.strip() and not self._accumulator.has_text:
            events.append(TextDelta(answer.text))
        told = self._accumulator.tool_calls_told
        events += [
            ToolCallDelta(index, call.id, call.name, call.arguments)
            for index, call in enumerate(answer.tool_calls[told:], told)
        ]
        self._book(answer)
        self._leave(None, came_through=self._sent)
        self._end_here()
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            if at_end:
                self._core.sender.close_behind(incoming)
            else:
                self._core.sender.let_go(incoming)

    def _broke(self, error: BaseException) -> None:
        """Book what arrived, close the connection, and raise what the caller should see."""
        ours = self._translate(error)
        if isinstance(ours, DeepthriftError):
            if self.started:
                self._book_partial(ours)
            else:
                self._book_unanswered(ours, unbilled=self._unbilled)
        self._leave(ours)
        self.abandon(ours)
        kept = AttemptTimeout | DeadlineExceeded | StreamInterrupted | ResponseTooLarge
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
        try:
            async with asyncio.timeout(0):
                while incoming is not None and not self.ended and size < _AT_HAND:
                    data = await incoming.read()
                    for block in self._body_reader.feed(data):
                        self._add(block, [])
                    if self._accumulator.done or data is None:
                        self._finish([], at_end=data is None)
                    size += len(data or b"")
        except Exception as error:  # what is wrong with the rest is nobody's concern any more
            if not self.started and self._unbilled:
                self._book_unanswered(error, unbilled=True)

    def abandon(self, error: BaseException | None = None) -> None:
        """Nobody wants the rest: book what arrived, and close the connection so that the upstream stops."""
        self._book_partial(error)
        self._leave(error)
        self._end_here()
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._core.sender.close_behind(incoming)

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
            identity=answer.identity,
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
        return partial_usage_of(self._core.profile, self.step, answer, self._billed)


def stream_limit(most: int, request: WireRequest) -> int:
    """Bytes that a stream may have: the client's limit; at its default, what `max_tokens` may take if that is more."""
    if most != LARGEST_RESPONSE:
        return most
    wants_logprobs = b'"logprobs"' in request.body
    return max(most, request.max_tokens * (_LOGPROBS_EVENT if wants_logprobs else _EVENT))
