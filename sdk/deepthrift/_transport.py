"""Connections to one origin: a free list over httpcore's own connections, without a pool that scans."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, cast

import httpcore
import httpx

from deepthrift.errors import ConfigurationError

_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.ProtocolError, httpx.ProtocolError),
)


def _translated(error: BaseException) -> httpx.TransportError | None:
    return next((theirs(str(error)) for ours, theirs in _ERRORS if isinstance(error, ours)), None)


class OriginTransport(httpx.AsyncBaseTransport):
    """An httpx transport for one origin.

    The connection used last is used next, so that idle ones expire. Every operation takes the same time however many
    connections there are, and a cancelled caller never costs a place.

    Args:
        url: Any URL of the origin.
        limit: The most requests at a time; further ones wait.
        keepalive: Seconds for which an idle connection is kept.
        ssl_context: For HTTPS; by default one that verifies against the usual certificates.
    """

    def __init__(
        self,
        url: httpx.URL | str,
        *,
        limit: int = 1000,
        keepalive: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = httpx.URL(url)
        self._origin = _origin(self._url)
        self._keepalive = keepalive
        self._ssl = ssl_context
        self._free: deque[tuple[httpcore.AsyncHTTPConnection, float]] = deque()
        self._places = limit
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pruning: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._free)

    @property
    def places(self) -> int:
        """Requests that could start now without waiting."""
        return self._places

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the response's body is still to be read."""
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        if _origin(request.url) != self._origin:
            raise httpx.UnsupportedProtocol(f"this transport serves {self._url} only")
        await self._take_place()
        connection: httpcore.AsyncHTTPConnection | None = None
        try:
            connection = self._reusable() or self._fresh()
            response = await connection.handle_async_request(_core_request(request))
        except BaseException as error:
            self._give_place()
            if connection is not None:
                self._close_behind(connection)
            if (translated := _translated(error)) is not None:
                raise translated from error
            raise
        extensions = cast("dict[str, object]", response.extensions)  # pyright: ignore[reportUnknownMemberType]
        stream = _Body(response, connection, self)
        return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=extensions)

    async def aclose(self) -> None:
        """Close every idle connection."""
        self._closed = True
        if self._pruning is not None:
            self._pruning.cancel()
        while self._free:
            self._close_behind(self._free.pop()[0])
        while self._tasks:
            await asyncio.wait(list(self._tasks), timeout=1.0)

    async def _take_place(self) -> None:
        if self._places > 0:
            self._places -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_place()  # the place came in the same moment as the cancellation
            else:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
            raise

    def _give_place(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places += 1

    def _fresh(self) -> httpcore.AsyncHTTPConnection:
        if self._ssl is None and self._url.scheme == "https":
            self._ssl = httpx.create_ssl_context()
        return httpcore.AsyncHTTPConnection(self._origin, ssl_context=self._ssl, keepalive_expiry=self._keepalive)

    def _reusable(self) -> httpcore.AsyncHTTPConnection | None:
        while self._free:
            connection, _ = self._free.pop()
            if not connection.has_expired():
                return connection
            self._close_behind(connection)
        return None

    def _release(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Take back a connection; one whose response has not been read to its end is closed."""
        self._give_place()
        if self._closed or not connection.is_idle():
            self._close_behind(connection)
            return
        self._free.append((connection, time.monotonic()))
        if self._pruning is None:
            self._prune_later(self._keepalive)

    def _prune_later(self, seconds: float) -> None:
        self._pruning = asyncio.get_running_loop().call_later(seconds, self._prune)

    def _prune(self) -> None:
        self._pruning = None
        now = time.monotonic()
        while self._free and now - self._free[0][1] >= self._keepalive:
            self._close_behind(self._free.popleft()[0])
        if self._free:
            self._prune_later(max(0.1, self._keepalive - (now - self._free[0][1])))

    def _close_behind(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Close apart from the caller, whom a cancellation may have reached."""
        if not connection.is_closed():
            task = asyncio.get_running_loop().create_task(_close(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class _Body(httpx.AsyncByteStream):
    """A response's body, which gives its connection back once, however it ends."""

    def __init__(
        self, response: httpcore.Response, connection: httpcore.AsyncHTTPConnection, owner: OriginTransport
    ) -> None:
        self._response = response
        self._parts: AsyncIterator[bytes] | None = None
        self._connection: httpcore.AsyncHTTPConnection | None = connection
        self._owner = owner

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._parts is None:
            self._parts = self._response.aiter_stream().__aiter__()
        try:
            return await self._parts.__anext__()
        except Exception as error:
            if (translated := _translated(error)) is not None:
                raise translated from error
            raise

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await self._response.aclose()
        finally:
            self._owner._release(connection)  # pyright: ignore[reportPrivateUsage]  # one idea in two classes


def _origin(url: httpx.URL) -> httpcore.Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return httpcore.Origin(url.raw_scheme, url.raw_host, port)


def _core_request(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


async def _close(connection: httpcore.AsyncHTTPConnection) -> None:
    with contextlib.suppress(Exception):
        await connection.aclose()


def transport_for(url: httpx.URL, proxy: str | None) -> httpx.AsyncBaseTransport:
    """The transport to `url`: through `proxy`, or through the proxy that the environment names for it, else direct."""
    proxy = proxy or _environment_proxy(url)
    if proxy is not None:
        return httpx.AsyncHTTPTransport(proxy=proxy, limits=httpx.Limits(max_connections=1000))
    return OriginTransport(url)


def _environment_proxy(url: httpx.URL) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or url.host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(url.host):
        return None
    return found if "://" in found else f"http://{found}"
