"""One attempt: reserved, sent, read, booked. Whatever happens, it is booked exactly once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from deepthrift._admission.admission import Permit
from deepthrift._admission.clock import Clock
from deepthrift._call.attempt.booking import Books
from deepthrift._call.attempt.usage_claims import usage_of, usage_warning
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.passes import Passes, Step
from deepthrift._net.sender import Incoming, RequestBody
from deepthrift._types.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeepthriftError,
    EmptyResponse,
    MalformedResponse,
    StatusError,
)
from deepthrift._types.raw import RawResponse
from deepthrift._util.secrets import shown_url
from deepthrift._wire.errors.billed import is_free
from deepthrift._wire.errors.failures import error_in_answer, status_error, unreadable, without_secrets
from deepthrift._wire.events.body import lines_of
from deepthrift._wire.events.chunk import Chunk, parse_chunk
from deepthrift._wire.events.heartbeat import is_heartbeat
from deepthrift._wire.events.large import sized
from deepthrift._wire.events.sse import DONE, EventDecoder
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer, together
from deepthrift._wire.request.server_tools import with_requests
from deepthrift_pricing import Attempt, Usage

if TYPE_CHECKING:
    from deepthrift._call.attempt.lookup import Found
    from deepthrift._call.attempt.middleware_chain import MiddlewareChain, Refusal


class BaseAttempt:
    """What plain and streamed attempts have in common."""

    def __init__(self, core: Target, books: Books, clock: Clock, passes: Passes, step: Step) -> None:
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
        self._relay: MiddlewareChain | None = None
        self._http_status: int | None = None
        self._permit: Permit | None = None
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
            from deepthrift._call.attempt.lookup import look_up

            self._found = found = await look_up(self._core, self._books, self.step, self._clock)
            if found is not None:
                self._attempt = found.attempt
                return
        await self._reserve()

    async def _reserve(self) -> None:
        self._permit = permit = await self._core.admission.enter(self._clock)
        try:
            wait = self._core.budget_wait(self._clock)
            self._attempt, step = await self._books.reserve(self._passes, self.step, wait, self._clock.left)
        except BaseException:
            permit.leave(None)
            raise
        if step is not self.step:
            self.step = step
            self._accumulator = _accumulator(self._core, step)
            self._body = RequestBody(step.request.body)

    def _leave(self, error: BaseException | None, *, came_through: bool = False) -> None:
        """Give the endpoint's place back, with what the attempt told about it."""
        if self._permit is None:
            return
        clock, usual = self._clock, self._core.settings
        impatient = clock.timeout < usual.timeout or clock.idle_timeout < usual.idle_timeout
        told = None if impatient and isinstance(error, AttemptTimeout) else error
        self._permit.leave(told, came_through=came_through)

    async def _send(self) -> Incoming:
        """Send, and return the response when its head is there and is a success."""
        if self._core.settings.middleware:
            incoming = await self._send_through()
        else:
            incoming = await self._post(self.step.request.headers)
        if incoming.status >= 300:
            data = await incoming.read_error()
            await incoming.close()
            raise self._refusal(incoming.status, incoming.headers, data)
        return incoming

    async def _post(self, headers: Mapping[str, str], *, whole: bool = False) -> Incoming:
        request = self.step.request
        self._incoming = incoming = await self._core.sender.send(
            request.path, self._body, len(request.body), headers, beside=request.beside, whole=whole
        )
        self._http_status = incoming.status
        return incoming

    async def _send_through(self) -> Incoming:
        """Send through the middleware; what comes out of it is read like a response off the wire."""
        from deepthrift._call.attempt.middleware_chain import MiddlewareChain, Relayed
        from deepthrift._wire.reply.meter import Meter

        core, request, found = self._core, self.step.request, self._found
        self._relay = relay = MiddlewareChain(
            lambda headers: self._post(headers, whole=True),
            self._translate,
            self._failed,
            Meter(_accumulator(core, self.step)),
        )
        try:
            if found is not None:
                response = await relay.answer(found.request, found.response, found.outer)
            else:
                told = core.sender.told(request.path, request.headers, beside=request.beside)
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
        return status_error(
            status,
            body,
            headers,
            host=self._core.profile.name,
            secrets=self._core.secrets,
            sent=self.step.request.body,
        )

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
        where = shown_url(str(self._core.sender.url))
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | ssl.SSLError):
            return ConnectionFailed(
                f"no connection to {where}: {self._said(error)}. Is the server running, and the URL right?"
            )
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | OSError):
            tail = "It may be billed, so it stays booked" if self._body.sent else "Nothing was sent"
            return ConnectionFailed(f"the connection to {where} was lost: {self._said(error)}. {tail}")
        return error

    def _said(self, error: BaseException) -> str:
        return without_secrets(str(error).rstrip(".") or type(error).__name__, *self._core.secrets)

    def _status(self) -> int | None:
        return self._http_status

    def _book_unanswered(self, error: BaseException | None, *, unbilled: bool = False) -> None:
        """Book an attempt of which no usable answer came."""
        if self._booked or self._attempt is None:
            return
        self._booked = True
        status = self._status()
        refused = status is not None and status >= 300 and is_free(self._core.profile, status, error)
        if unbilled or refused or not self._body.sent:
            self._books.release(self._attempt, http_status=status, error=error)
        else:
            self._books.hold(self._attempt, http_status=status, error=error)
            self._note_prefix(None)

    def _book_unfinished(self) -> None:
        """Book an attempt whose answer a middleware made up before the endpoint's own had come to its end."""
        self._book_unanswered(None)

    def _usage(self, answer: Answer) -> Usage:
        return usage_of(self._core.profile, self.step, answer, self._billed)

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
        usage = self._with_requests(self._usage(answer), answer)
        if (warning := usage_warning(usage)) is not None:
            self._books.warnings.append(warning)
        self._books.settle(
            self._held,
            usage,
            mode=mode,
            finish_reason=answer.finish_reason,
            http_status=self._status(),
            identity=answer.identity,
            service_tier=answer.service_tier,
        )
        self._note_prefix(usage)

    def _with_requests(self, usage: Usage, answer: Answer) -> Usage:
        """`usage` with what the host's own tools did."""
        bounds = self.step.request.requests
        if not bounds and (answer.usage is None or not answer.usage.requests):
            return usage
        counted = with_requests(usage, answer.usage, bounds, cites=answer.cites)
        self._books.warnings += counted.notes[len(usage.notes) :]
        return counted

    def _note_prefix(self, usage: Usage | None) -> None:
        """Remember, as hashes, that the prompt was sent, and what the host said it held of it."""
        trace = self.step.prompt.trace
        if trace is not None and trace.model == self.step.request.model:
            self._core.prefixes.note(trace, usage)

    def _chunk(self, data: bytes) -> Chunk:
        """The chunk in `data`.

        Raises:
            DeepthriftError: It is none; a page or a plain text is quoted.
        """
        try:
            return parse_chunk(data)
        except MalformedResponse as error:
            raise unreadable(
                data, error, host=self._core.profile.name, secrets=self._core.secrets, sent=self.step.request.body
            ) from error

    def _error_event(self, chunk: Chunk) -> tuple[DeepthriftError, bool]:
        """The error in an answer's place, and whether it is known not to be billed."""
        error, told = error_in_answer(
            chunk.error, host=self._core.profile.name, secrets=self._core.secrets, sent=self.step.request.body
        )
        status = error.status if isinstance(error, StatusError) else 400
        free = is_free(self._core.profile, status, error)
        return error, free and (told or not isinstance(error, StatusError))


class PlainAttempt(BaseAttempt):
    """An attempt whose answer comes in one piece, or several answers at once."""

    further: Sequence[Answer] = ()
    """The answers beside the first."""
    _answer: Answer | None = None
    _unbilled = False

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
            answer = await sized(len(data), self._parse, data)
            self._book(together(answer, self.further))
        except BaseException as error:
            ours = self._translate(error)
            if self._answer is not None:  # cancelled while it was read: all of it had arrived
                self._book(together(self._answer, self.further))
            self._book_unanswered(ours, unbilled=self._unbilled)
            self._leave(ours)
            if self._incoming is not None:
                self._core.sender.close_behind(self._incoming)
            if ours is error:
                raise
            raise ours from error
        self._leave(None, came_through=self._sent)
        await incoming.close()
        self.raw = RawResponse(incoming.status, incoming.headers, data)
        return answer

    def _parse(self, data: bytes) -> Answer:
        """The answer in a body. It may run in a thread, so it books nothing."""
        body = data.strip()
        if not body:
            raise EmptyResponse("the endpoint reported success and sent a blank body; it may be billed, so it is held")
        found = lines_of(body) or [body]
        if not body.startswith((b"{", b"[")):
            events = EventDecoder()
            found = [*events.feed(data), *events.flush()] or [body]
        chunks = [self._chunk(event) for event in found if event != DONE and not is_heartbeat(event)]
        for chunk in chunks:
            if chunk.is_error:
                error, self._unbilled = self._error_event(chunk)
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
        messages = any(choice.message for chunk in chunks for choice in chunk.choices or ())
        self._accumulator.done = found == [body] or messages or DONE in found
        self.further = self._others(chunks)
        self._answer = self._without_echo(self._accumulator.answer())
        return self._answer

    def _others(self, chunks: Sequence[Chunk]) -> list[Answer]:
        """The answers beside the first, where one request brought several."""
        others: dict[int, Accumulator] = {}
        for chunk in chunks:
            for choice in chunk.choices or ():
                if choice.index > 0:
                    other = others.setdefault(choice.index, _accumulator(self._core, self.step, choice.index))
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


def _accumulator(core: Target, step: Step, choice: int = 0) -> Accumulator:
    begun = bool(step.request.messages) and bool(step.request.messages[-1].get("prefix"))
    return Accumulator(core.profile, step.expects, begun=begun, request=step.request, choice=choice)
