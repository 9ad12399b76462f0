"""One attempt: reserved, sent, read, booked. Whatever happens, it is booked exactly once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx

from deepthrift._books import Books
from deepthrift._clock import Clock
from deepthrift._core import Core
from deepthrift._counting import estimated_usage, received_tokens, with_reasoning_tokens
from deepthrift._endpoint import Incoming, RequestBody
from deepthrift._gate import Ticket
from deepthrift._passes import Passes, Step
from deepthrift._raw import RawResponse
from deepthrift._wire.answer import Accumulator, Answer
from deepthrift._wire.chunk import Chunk, parse_chunk
from deepthrift._wire.failures import NOT_BILLED, error_in_answer, status_error
from deepthrift._wire.sse import EventDecoder
from deepthrift.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeepthriftError,
    EmptyResponse,
    MalformedResponse,
    StatusError,
)
from deepthrift_pricing import Attempt, Usage

if TYPE_CHECKING:
    from deepthrift._lookup import Found
    from deepthrift._relay import Refusal, Relay

_ERROR_BODY: Final = 65_536


class BaseAttempt:
    """What plain and streamed attempts have in common."""

    def __init__(self, core: Core, books: Books, clock: Clock, passes: Passes, step: Step) -> None:
        self._core = core
        self._books = books
        self._clock = clock
        self._passes = passes
        self.step = step
        """What is sent; less than was asked for, where a budget's policy says so."""
        self._accumulator = _accumulator(core, step)
        self._body = RequestBody(step.request.body)
        self._incoming: Incoming | None = None
        self._end = 0.0
        self._attempt: Attempt | None = None
        self._booked = False
        self._relay: Relay | None = None
        self._http_status: int | None = None
        self._ticket: Ticket | None = None
        self._found: Found | None = None
        self.raw: RawResponse | None = None
        """The response, once it is there."""

    @property
    def attempt_id(self) -> str:
        """The attempt's id in the ledger."""
        return self._held.id

    @property
    def _held(self) -> Attempt:
        if self._attempt is None:
            raise RuntimeError("the attempt has not been reserved")
        return self._attempt

    async def _begin(self) -> None:
        """Reserve, unless a middleware has the answer already: that needs neither room nor an endpoint."""
        if self._core.settings.middleware:
            from deepthrift._lookup import look_up

            self._found = found = await look_up(self._core, self._books, self.step, self._clock)
            if found is not None:
                self._attempt = found.attempt
                return
        await self._reserve()

    async def _reserve(self) -> None:
        self._ticket = ticket = await self._core.gate.enter(self._clock)
        try:
            wait = self._core.budget_wait(self._clock)
            self._attempt, step = await self._books.reserve(self._passes, self.step, wait, self._clock.left)
        except BaseException:
            ticket.leave(None)
            raise
        if step is not self.step:
            self.step = step
            self._accumulator = _accumulator(self._core, step)
            self._body = RequestBody(step.request.body)

    def _leave(self, error: BaseException | None, *, came_through: bool = False) -> None:
        """Give the endpoint's place back, with what the attempt told about it."""
        if self._ticket is None:
            return
        clock, usual = self._clock, self._core.settings
        impatient = clock.timeout < usual.timeout or clock.idle_timeout < usual.idle_timeout
        told = None if impatient and isinstance(error, AttemptTimeout) else error
        self._ticket.leave(told, came_through=came_through)

    async def _send(self) -> Incoming:
        """Send, and return the response when its head is there and is a success."""
        if self._core.settings.middleware:
            incoming = await self._send_through()
        else:
            incoming = await self._post(self.step.request.headers)
        if incoming.status >= 300:
            data = await incoming.read_all(_ERROR_BODY)
            await incoming.close()
            raise self._refusal(incoming.status, incoming.headers, data)
        return incoming

    async def _post(self, headers: Mapping[str, str], *, whole: bool = False) -> Incoming:
        request = self.step.request
        self._incoming = incoming = await self._core.endpoint.send(
            request.path, self._body, len(request.body), headers, beside=request.beside, whole=whole
        )
        self._http_status = incoming.status
        return incoming

    async def _send_through(self) -> Incoming:
        """Send through the middleware; what comes out of it is read like a response off the wire."""
        from deepthrift._relay import Meter, Relay, Relayed

        core, request, found = self._core, self.step.request, self._found
        self._relay = relay = Relay(
            lambda headers: self._post(headers, whole=True),
            self._translate,
            self._failed,
            Meter(_accumulator(core, self.step)),
        )
        try:
            if found is not None:
                response = await relay.answer(found.request, found.response, found.outer)
            else:
                told = core.endpoint.told(request.path, request.headers, beside=request.beside)
                exchange = self._books.exchange(self._held, request, told)
                response = await relay.send(exchange, core.settings.middleware)
        finally:
            if (answer := relay.meter.answer) is not None:
                self._book(answer)  # a whole answer arrived: it is billed, whatever the middleware made of it
        self._incoming = relayed = Relayed(response, self._incoming, relay)
        if relay.cached:
            self._books.cached = True
        return relayed

    def _failed(self, failure: BaseException | Refusal) -> BaseException:
        """Book a request that failed where it met the endpoint, whatever a middleware makes of that."""
        error = self._refusal(*failure) if isinstance(failure, tuple) else self._translate(failure)
        self._book_unanswered(error)
        return error

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> DeepthriftError:
        return status_error(status, body, headers, host=self._core.profile.name, secrets=(self._core.key,))

    @property
    def _sent(self) -> bool:
        """Whether the answer came from the endpoint, and not from the middleware."""
        return self._relay is None or self._relay.sent

    @property
    def _billed(self) -> Accumulator:
        """What the endpoint itself said."""
        return self._relay.meter.accumulator if self._relay is not None and self._relay.sent else self._accumulator

    def _translate(self, error: BaseException) -> BaseException:
        """Ours for a low-level error; anything else as it is."""
        if isinstance(error, DeepthriftError) or (self._relay is not None and error is self._relay.foreign):
            return error
        if isinstance(error, TimeoutError) and error.errno is None:
            return self._clock.timed_out(self._end)
        where = self._core.endpoint.url
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | ssl.SSLError):
            return ConnectionFailed(
                f"no connection to {where}: {_said(error)}. Is the server running, and the URL right?"
            )
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
            tail = "It may be billed, so it stays booked" if self._body.sent else "Nothing was sent"
            return ConnectionFailed(f"the connection to {where} was lost: {_said(error)}. {tail}")
        return error

    def _status(self) -> int | None:
        return self._http_status

    def _book_unanswered(self, error: BaseException | None, *, unbilled: bool = False) -> None:
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
            self._note_prefix(None)

    def _book_unfinished(self) -> None:
        """Book an attempt whose answer a middleware made up before the endpoint's own had come to its end."""
        self._book_unanswered(None)

    def _usage(self, answer: Answer) -> Usage:
        profile, model = self._core.profile, self.step.request.model
        reported = self._reported(answer)
        if reported is None:
            why = "the host's usage holds no count" if self._billed.has_usage else "the host reported no usage"
            usage = estimated_usage(profile, model, self.step.prompt, answer, self._billed.pieces, why)
        else:
            usage = with_reasoning_tokens(profile, model, answer, reported)
        if self.step.notes:  # the first of two passes: all of it is reasoning
            usage = usage.model_copy(update={"reasoning_tokens": usage.completion_tokens})
        return usage

    def _reported(self, answer: Answer) -> Usage | None:
        """The usage that the host reported; what it left out, or what cannot be, is counted here."""
        usage = answer.usage
        if usage is None or usage.certainty != "unknown":
            return usage
        profile, model = self._core.profile, self.step.request.model
        completion, _ = received_tokens(profile, model, answer, self._billed.pieces)
        return self._billed.usage_with(self.step.prompt.likely, completion)

    def _book(self, answer: Answer) -> None:
        """Book a complete answer."""
        if self._booked:
            return
        if self._relay is not None and not self._relay.sent:
            self._booked = True
            self._books.release(self._held, finish_reason=answer.finish_reason)
            return
        if self._billed is not self._accumulator:
            if not self._billed.finished:
                self._book_unfinished()
                return
            answer = self._billed.answer()
        self._booked = True
        mode = self.step.request.mode if self._core.profile.two_pass is not None else answer.mode
        usage = self._usage(answer)
        self._books.settle(self._held, usage, mode=mode, finish_reason=answer.finish_reason, http_status=self._status())
        self._note_prefix(usage)

    def _note_prefix(self, usage: Usage | None) -> None:
        """Remember, as hashes, that the prompt was sent, and what the host said it held of it."""
        trace = self.step.prompt.trace
        if trace is not None and trace.model == self.step.request.model:
            self._core.prefixes.note(trace, usage)

    def _error_event(self, chunk: Chunk) -> tuple[DeepthriftError, bool]:
        """The error in an answer's place, and whether it is known not to be billed."""
        value: object = chunk.error if chunk.error is not None else chunk.model_dump(exclude_none=True)
        error, told = error_in_answer(value, host=self._core.profile.name, secrets=(self._core.key,))
        status = error.status if isinstance(error, StatusError) else 400
        return error, told and status in NOT_BILLED


class PlainAttempt(BaseAttempt):
    """An attempt whose answer comes in one piece, or several answers at once."""

    further: Sequence[Answer] = ()
    """The answers beside the first."""

    async def run(self) -> Answer:
        """The answer.

        Raises:
            DeepthriftError: There is none; the attempt is booked as far as it may be billed.
        """
        await self._begin()
        self._end = self._clock.attempt_end()
        try:
            async with asyncio.timeout_at(self._end):
                incoming = await self._send()
                data = await incoming.read_all()
            answer = self._parse(data)
            self._book(_together(answer, self.further))
        except BaseException as error:
            ours = self._translate(error)
            self._book_unanswered(ours)
            self._leave(ours)
            if self._incoming is not None:
                self._core.endpoint.close_behind(self._incoming)
            if ours is error:
                raise
            raise ours from error
        self._leave(None, came_through=self._sent)
        await incoming.close()
        self.raw = RawResponse(incoming.status, incoming.headers, data)
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
        if not any(
            choice.message or choice.delta or choice.text is not None
            for chunk in chunks
            for choice in chunk.choices or ()
        ):
            raise MalformedResponse(
                "the endpoint's answer has no choices with a message; does the base URL end where it should, "
                "such as in '/v1'?"
            )
        self._accumulator.flush()
        self._accumulator.done = True
        self.further = self._others(chunks)
        return self._without_echo(self._accumulator.answer())

    def _others(self, chunks: Sequence[Chunk]) -> list[Answer]:
        """The answers beside the first, where one request brought several."""
        others: dict[int, Accumulator] = {}
        for chunk in chunks:
            for choice in chunk.choices or ():
                if choice.index > 0:
                    other = others.setdefault(choice.index, _accumulator(self._core, self.step))
                    other.add(Chunk(model=chunk.model, id=chunk.id, choices=[choice.model_copy(update={"index": 0})]))
        for other in others.values():
            other.flush()
            other.done = True
        return [self._without_echo(other.answer()) for _, other in sorted(others.items())]

    def _without_echo(self, answer: Answer) -> Answer:
        """`answer` without the beginning that llama.cpp repeats where it does not stream."""
        last = self.step.request.messages[-1] if self.step.request.messages else {}
        begun = str(last.get("content") or "") if last.get("prefix") else ""
        if begun and self._core.profile.prefix_form == "last_message" and answer.text.startswith(begun):
            return replace(answer, text=answer.text[len(begun) :])
        return answer


def _together(answer: Answer, further: Sequence[Answer]) -> Answer:
    """All answers of one request as one, for counting: the host reports the tokens of all of them."""
    if not further:
        return answer
    every = (answer, *further)
    return replace(
        answer,
        text=" ".join(each.text for each in every),
        reasoning=" ".join(each.reasoning or "" for each in every).strip() or None,
        tool_calls=tuple(call for each in every for call in each.tool_calls),
    )


def _accumulator(core: Core, step: Step) -> Accumulator:
    begun = bool(step.request.messages) and bool(step.request.messages[-1].get("prefix"))
    return Accumulator(core.profile, step.expects, begun=begun)


def _said(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__
