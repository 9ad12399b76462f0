"""All requests to one origin on one HTTP/2 connection, where the server speaks it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from deepthrift._net.network import Network
from deepthrift._net.transport import OriginTransport

if TYPE_CHECKING:
    from deepthrift._net.http2 import Http2Connection


class Http2Transport(OriginTransport):
    """An httpx transport for one https origin that offers HTTP/2, and speaks HTTP/1.1 where the server declines."""

    def __init__(self, url: httpx.URL | str, *, keepalive: float = 30.0, network: Network | None = None) -> None:
        super().__init__(url, keepalive=keepalive, network=network)
        self._shared: Http2Connection | None = None
        self._opening: asyncio.Task[Http2Connection | None] | None = None
        self._declined = False

    @property
    def idle(self) -> int:
        """Connections on which a request could go out now."""
        return super().idle + (self._shared is not None and self._shared.available)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; the response's body is still to be read."""
        from deepthrift._net.http2 import NotProcessed

        self._check(request)
        again = True
        while not self._declined:
            connection = await self._connection(request)
            if connection is None:
                break
            try:
                return await connection.send(request)
            except NotProcessed:
                if not again:
                    raise
                again = False
        return await super().handle_async_request(request)

    async def _connection(self, request: httpx.Request) -> Http2Connection | None:
        """The one connection; `None` where the server does not want HTTP/2."""
        if self._shared is not None and self._shared.available:
            return self._shared
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open(request))
            self._opening.add_done_callback(self._opened)
        # A caller who is cancelled leaves the connection to the others.
        return await asyncio.shield(self._opening)

    def _opened(self, task: asyncio.Task[Http2Connection | None]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waits is told; if nobody does, nobody has to be

    async def _open(self, request: httpx.Request) -> Http2Connection | None:
        from deepthrift._net.http2 import Http2Connection

        context = self._tls()
        context.set_alpn_protocols(["h2", "http/1.1"])
        host, port = request.url.host, request.url.port or 443
        seconds: float | None = request.extensions.get("timeout", {}).get("connect")
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        except TimeoutError:
            raise httpx.ConnectTimeout("the server did not answer") from None
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        chosen = writer.get_extra_info("ssl_object")
        if chosen is None or chosen.selected_alpn_protocol() != "h2":
            self._declined = True
            writer.close()
            return None
        self._shared = Http2Connection(reader, writer, self._keepalive, self._ended)
        return self._shared

    def _ended(self, connection: Http2Connection) -> None:
        if self._shared is connection:
            self._shared = None

    async def aclose(self) -> None:
        """Close every connection."""
        await super().aclose()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening], timeout=1.0)
        if self._shared is not None:
            await self._shared.aclose()
