"""One attempt on its way through the client's middleware: what passes is metered where it meets the endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias, cast

from deepthrift._net.sender import Incoming
from deepthrift._types.errors import ConfigurationError, DeepthriftError
from deepthrift._wire.events.large import sized
from deepthrift._wire.reply.meter import Meter
from deepthrift.middleware import CallNext, Middleware, Request, Response

Refusal: TypeAlias = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body of an answer with an error status."""


class MiddlewareChain:
    """Sends one attempt through the middleware.

    Args:
        post: Sends the request with these headers; returns when the response's head is there.
        translated: Turns a low-level error into ours.
        failed: Books the attempt whose request failed, and returns the error as ours; or that was refused, with this
            status, these headers and this body.
        meter: Reads along.
    """

    def __init__(
        self,
        post: Callable[[Mapping[str, str]], Awaitable[Incoming]],
        translated: Callable[[BaseException], BaseException],
        failed: Callable[[BaseException | Refusal], BaseException],
        meter: Meter,
    ) -> None:
        self._post = post
        self._translated = translated
        self._failed = failed
        self._request: Request | None = None
        self.meter = meter
        self.sent = False
        """Whether the endpoint was asked at all."""
        self.cached = False
        """Whether a cache answered in its place."""
        self.foreign: BaseException | None = None
        """The exception of a middleware's own, which is the caller's as it is."""

    async def send(self, request: Request, middleware: Sequence[Middleware]) -> Response:
        """The response that comes out of the outermost middleware."""
        self._request = request
        return await self._through(request, middleware, self._innermost)

    async def answer(self, request: Request, found: Response, middleware: Sequence[Middleware]) -> Response:
        """The same where one of the middleware has the answer already, given those around it: nothing can be sent."""

        async def has(_: Request) -> Response:
            return found

        return await self._through(request, middleware, has)

    async def _through(self, request: Request, middleware: Sequence[Middleware], innermost: CallNext) -> Response:
        call = innermost
        for each in reversed(middleware):
            call = _layer(each, call)
        try:
            response = await call(request)
        except (DeepthriftError, asyncio.CancelledError):
            raise
        except BaseException as error:
            self.foreign = error
            raise
        self.cached = response.cached and not self.sent
        return response

    async def _innermost(self, request: Request) -> Response:
        first = self._request
        if self.sent or first is None:
            raise ConfigurationError(
                "a middleware called call_next twice: one attempt is one request, reserved and booked once. "
                "For further attempts set max_retries"
            )
        if (request.url, request.body) != (first.url, first.body):
            raise ConfigurationError(
                "a middleware changed more of the request than its headers, for which it was counted, priced and "
                "reserved; use extra_body, or change the messages before the call"
            )
        self.sent = True
        try:
            incoming = await self._post(request.headers)
            headers = {name.lower(): value for name, value in incoming.headers.items()}
            if incoming.status < 300 and request.stream:
                return Response(status=incoming.status, headers=headers, chunks=self._metered(incoming))
            body = await (incoming.read_error() if incoming.status >= 300 else incoming.read_all())
            await incoming.close()
        except Exception as error:
            ours = self._failed(error)
            if ours is error:
                raise
            raise ours from error
        if incoming.status < 300:
            await sized(len(body), self.meter.whole, body)
        else:
            self._failed((incoming.status, headers, body))
        return Response(status=incoming.status, headers=headers, body=body)

    async def _metered(self, incoming: Incoming) -> AsyncIterator[bytes]:
        try:
            while (data := await incoming.read()) is not None:
                await self.meter.feed(data)
                yield data
        except Exception as error:
            ours = self._translated(error)
            if ours is error:
                raise
            raise ours from error
        await self.meter.feed(None)


def _layer(middleware: Middleware, inner: CallNext) -> CallNext:
    async def call(request: Request) -> Response:
        given = await cast("Awaitable[object]", middleware(request, inner))
        if not isinstance(given, Response):
            name = getattr(middleware, "__name__", type(middleware).__name__)
            raise ConfigurationError(
                f"the middleware {name!r} returned {type(given).__name__}; return what `await call_next(request)` gave"
            )
        return given

    return call


class Relayed(Incoming):
    """What the middleware returned, read like a response off the wire; closing it closes the one off the wire too."""

    def __init__(self, response: Response, origin: Incoming | None, relay: MiddlewareChain) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._size = 0
        self._rest = b""
        self._parts = _once(response.body) if response.chunks is None else response.chunks.__aiter__()
        if origin is not None:
            self.limit = origin.limit
        self._origin = origin
        self._relay = relay

    async def read(self) -> bytes | None:
        """The next bytes, or `None` at the end."""
        try:
            return await super().read()
        except (DeepthriftError, asyncio.CancelledError):
            raise
        except BaseException as error:  # a middleware's own: what comes off the wire was translated before it
            self._relay.foreign = error
            raise

    async def close(self) -> None:
        """End the iterators, and close what is behind them."""
        end = getattr(self._parts, "aclose", None)
        try:
            if end is not None:
                with contextlib.suppress(Exception):
                    await end()
        finally:
            if self._origin is not None:
                await self._origin.close()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
