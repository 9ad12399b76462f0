"""Connections to one origin: a free list over httpcore's own connections, without a pool that scans."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import httpcore
import httpx

from deepthrift._net.network import Network
from deepthrift._net.sockets import Sockets
from deepthrift._types.errors import ClientClosed, ConfigurationError
from deepthrift._util.secrets import shown_url
from deepthrift._util.wait_queue import WaitQueue, join, turn

_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.TimeoutException, httpx.ReadTimeout),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.ProtocolError, httpx.ProtocolError),
)

_SOCKETS: Final = Sockets()


def _translated(error: BaseException) -> httpx.TransportError | None:
    return next((theirs(str(error)) for ours, theirs in _ERRORS if isinstance(error, ours)), None)


_STALE: Final = (httpcore.ConnectionNotAvailable, httpcore.NetworkError, httpcore.RemoteProtocolError)
"""What sending on a connection that the server has closed looks like."""
_KEPT_FOR: Final = re.compile(rb"timeout\s*=\s*(\d+)")


@dataclass(frozen=True, slots=True)
class _IdleConnection:
    """A connection that waits for a request."""

    connection: httpcore.AsyncConnectionInterface
    since: float
    until: float
    """When the server may close it."""


class OriginTransport(httpx.AsyncBaseTransport):
    """An httpx transport for one origin.

    The connection used last is used next, so that idle ones expire. Every operation takes the same time however many
    connections there are, and a cancelled caller never costs a place.

    Args:
        url: Any URL of the origin.
        limit: The most requests at a time; further ones wait.
        keepalive: Seconds for which an idle connection is kept, unless the server says that it keeps it for less.
        proxy: The URL of a proxy, with its user and password if it wants them.
        network: Certificates and protocol.

    Raises:
        ConfigurationError: The proxy's URL is wrong.
    """

    def __init__(
        self,
        url: httpx.URL | str,
        *,
        limit: int = 1000,
        keepalive: float = 30.0,
        proxy: str | None = None,
        network: Network | None = None,
    ) -> None:
        self._url = httpx.URL(url)
        self._origin = origin_of(self._url)
        self._keepalive = keepalive
        self._network = network or Network()
        self._ssl: ssl.SSLContext | None = None
        self._proxy = None if proxy is None else checked_proxy(proxy)
        self._tunnels: httpcore.AsyncConnectionPool | None = None
        self._free: deque[_IdleConnection] = deque()
        self._places = limit
        self._waiters: WaitQueue = deque()
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
        self._check(request)
        await self._take_place()
        try:
            connection, response = await self._send(request)
        except BaseException as error:
            self._give_place()
            if (translated := _translated(error)) is not None:
                raise translated from error
            raise
        extensions = cast("dict[str, object]", response.extensions)  # pyright: ignore[reportUnknownMemberType]
        stream = _Body(response, connection, self)
        return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=extensions)

    def _check(self, request: httpx.Request) -> None:
        """Nothing, if `request` can be sent from here."""
        if self._closed:
            raise ClientClosed("the client is closed; make a new one")
        if origin_of(request.url) != self._origin:
            raise httpx.UnsupportedProtocol(f"this transport serves {shown_url(str(self._url))} only")

    async def _send(self, request: httpx.Request) -> tuple[httpcore.AsyncConnectionInterface, httpcore.Response]:
        """The answer's head, and the connection that its body comes from.

        A server may close an idle connection in the moment in which it is used again. As long as the body has not been
        asked for, nothing that could be billed was sent, and a new connection is made for it.
        """
        while True:
            used = self._reusable()
            connection = self._fresh() if used is None else used
            try:
                return connection, await connection.handle_async_request(_core_request(request))
            except BaseException as error:
                self._close_behind(connection)
                if used is None or not isinstance(error, _STALE) or (request.method != "GET" and _sent(request)):
                    raise

    async def aclose(self) -> None:
        """Close every idle connection."""
        self._closed = True
        if self._pruning is not None:
            self._pruning.cancel()
        while self._free:
            self._close_behind(self._free.pop().connection)
        while self._tasks:
            await asyncio.wait(list(self._tasks), timeout=1.0)
        await asyncio.sleep(0)  # a socket that was told to close does so in the next turn of the loop

    async def _take_place(self) -> None:
        if self._places > 0:
            self._places -= 1
            return
        await turn(self._waiters, join(self._waiters), self._give_place)

    def _give_place(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places += 1

    def _fresh(self) -> httpcore.AsyncConnectionInterface:
        context = self._tls() if self._url.scheme == "https" else None
        if self._proxy is None:
            return httpcore.AsyncHTTPConnection(
                self._origin, ssl_context=context, keepalive_expiry=self._keepalive, network_backend=_SOCKETS
            )
        if self._tunnels is None:
            self._tunnels = _tunnels(self._proxy, context, self._keepalive)
        return self._tunnels.create_connection(self._origin)

    def _tls(self) -> ssl.SSLContext:
        """The context of all connections: reading the authorities' certificates takes as long as a handshake."""
        if self._ssl is None:
            self._ssl = self._network.ssl_context()
        return self._ssl

    def _reusable(self) -> httpcore.AsyncConnectionInterface | None:
        while self._free:
            idle = self._free.pop()
            if not idle.connection.has_expired() and time.monotonic() < idle.until:
                return idle.connection
            self._close_behind(idle.connection)
        return None

    def _release(self, connection: httpcore.AsyncConnectionInterface, kept_for: float | None) -> None:
        """Take back a connection; one whose response has not been read to its end is closed."""
        self._give_place()
        if self._closed or not connection.is_idle():
            self._close_behind(connection)
            return
        now = time.monotonic()
        kept = self._keepalive if kept_for is None else min(self._keepalive, kept_for)
        self._free.append(_IdleConnection(connection, now, now + kept))
        if self._pruning is None:
            self._prune_later(self._keepalive)

    def _prune_later(self, seconds: float) -> None:
        self._pruning = asyncio.get_running_loop().call_later(seconds, self._prune)

    def _prune(self) -> None:
        self._pruning = None
        now = time.monotonic()
        while self._free and now - self._free[0].since >= self._keepalive:
            self._close_behind(self._free.popleft().connection)
        if self._free:
            self._prune_later(max(0.1, self._keepalive - (now - self._free[0].since)))

    def _close_behind(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """Close apart from the caller, whom a cancellation may have reached."""
        if not connection.is_closed():
            task = asyncio.get_running_loop().create_task(_close(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class _Body(httpx.AsyncByteStream):
    """A response's body, which gives its connection back once, however it ends."""

    def __init__(
        self, response: httpcore.Response, connection: httpcore.AsyncConnectionInterface, owner: OriginTransport
    ) -> None:
        self._response = response
        self._parts: AsyncIterator[bytes] | None = None
        self._connection: httpcore.AsyncConnectionInterface | None = connection
        self._owner = owner

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._parts is None:
            self._parts = cast("AsyncIterable[bytes]", self._response.stream).__aiter__()
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
            kept_for = _kept_for(self._response.headers)
            self._owner._release(connection, kept_for)  # pyright: ignore[reportPrivateUsage]  # one idea in two classes


def origin_of(url: httpx.URL) -> httpcore.Origin:
    """The scheme, host and port of `url`."""
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


async def _close(connection: httpcore.AsyncConnectionInterface) -> None:
    with contextlib.suppress(Exception):
        await connection.aclose()


def _sent(request: httpx.Request) -> bool:
    """Whether any of the request's body may have left; a body that does not say so may."""
    return bool(getattr(request.stream, "sent", True))


def _kept_for(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """Seconds for which the server says that it keeps the connection, less one for the way."""
    for name, value in headers:
        if name.lower() == b"keep-alive" and (found := _KEPT_FOR.search(value)):
            return float(found[1]) - 1.0
    return None


def checked_proxy(url: str) -> httpx.Proxy:
    """The proxy at `url`.

    Raises:
        ConfigurationError: It is not a URL of one.
    """
    try:
        proxy = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL):
        raise ConfigurationError("proxy is a URL such as 'http://proxy:3128', 'https://…' or 'socks5://…'") from None
    if not proxy.url.host:
        raise ConfigurationError("the proxy's URL names no host; write it as 'http://proxy:3128'")
    return proxy


def _tunnels(proxy: httpx.Proxy, ssl_context: ssl.SSLContext | None, keepalive: float) -> httpcore.AsyncConnectionPool:
    """What makes connections through `proxy`; of httpcore's pool only that is used."""
    url = httpcore.URL(scheme=proxy.url.scheme, host=proxy.url.host, port=proxy.url.port, target="/")
    if proxy.url.scheme.startswith("socks5"):
        try:
            return httpcore.AsyncSOCKSProxy(
                url, proxy_auth=proxy.raw_auth, ssl_context=ssl_context, keepalive_expiry=keepalive
            )
        except (ImportError, RuntimeError):
            raise ConfigurationError("a SOCKS proxy needs socksio: pip install 'deepthrift[socks]'") from None
    return httpcore.AsyncHTTPProxy(
        url,
        proxy_auth=proxy.raw_auth,
        proxy_headers=proxy.headers.raw,
        ssl_context=ssl_context,
        proxy_ssl_context=httpx.create_ssl_context() if proxy.url.scheme == "https" else None,
        keepalive_expiry=keepalive,
    )
