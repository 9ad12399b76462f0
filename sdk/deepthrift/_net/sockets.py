"""Sockets for httpcore's connections, straight from asyncio: a general layer between them costs a tenth of a call."""

# ruff: noqa: ASYNC109  # the time-outs are parameters because httpcore has them so

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final, cast

import httpcore

from deepthrift._net.addresses import connected

_HIGH_WATER: Final = 256 * 1024
"""Bytes that may wait to be read before the peer is held back."""
_JOINED: Final = 64 * 1024
"""The largest body that travels in one packet with its head."""


class Sockets(httpcore.AsyncNetworkBackend):
    """Makes connections in the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of `host` that answers. Errors are httpcore's."""
        loop = asyncio.get_running_loop()
        async with _errors(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            sock = await connected(host, port, local_address)
            _, wire = await loop.create_connection(_Wire, sock=sock)
        stream = _Stream(wire)
        for option in socket_options or ():
            stream.socket.setsockopt(*option)
        return stream

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a socket in the file system. Errors are httpcore's."""
        loop = asyncio.get_running_loop()
        async with _errors(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            _, wire = await loop.create_unix_connection(_Wire, path)
        return _Stream(wire)

    async def sleep(self, seconds: float) -> None:
        """As in asyncio."""
        await asyncio.sleep(seconds)


class _Wire(asyncio.Protocol):
    """What has arrived and was not read yet, and whether more will come."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.parts: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.lost: Exception | None = None
        self.encrypted = False
        self.full = False
        self._waiting: asyncio.Future[None] | None = None
        self.draining: asyncio.Future[None] | None = None
        """Done when the peer has taken enough of what was written."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)
        if self.size > _HIGH_WATER and not self.full:
            self.full = True
            self.transport.pause_reading()
        _wake(self._waiting)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self._waiting)
        return not self.encrypted  # what we send may still be read; TLS knows no such half

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.lost = exc
        _wake(self._waiting)
        _wake(self.draining)

    def pause_writing(self) -> None:
        self.draining = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        draining, self.draining = self.draining, None
        _wake(draining)

    async def arrived(self) -> None:
        """Wait until there is something to read, or nothing will come."""
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def take(self, most: int) -> bytes:
        """The oldest part, up to `most` bytes of it."""
        part = self.parts.popleft()
        if len(part) > most:
            self.parts.appendleft(part[most:])
            part = part[:most]
        self.size -= len(part)
        if self.full and self.size <= _HIGH_WATER // 2:
            self.full = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        return part


class _Stream(httpcore.AsyncNetworkStream):
    """One connection. The head of a request waits for its body, so that both leave in one packet."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._head = b""

    @property
    def socket(self) -> socket.socket:
        """The socket beneath."""
        found: socket.socket = self._wire.transport.get_extra_info("socket")
        return found

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; none at the end. Errors are httpcore's."""
        wire = self._wire
        if self._head:
            self._flush()
        if not wire.parts and not wire.ended:
            if timeout is None:
                await wire.arrived()
            else:
                async with _errors(httpcore.ReadError, httpcore.ReadTimeout, timeout):
                    await wire.arrived()
        if wire.parts:
            return wire.take(max_bytes)
        if wire.lost is not None:
            raise httpcore.ReadError(str(wire.lost)) from wire.lost
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send `buffer`; an empty one marks the end of a request. Errors are httpcore's."""
        wire = self._wire
        if wire.transport.is_closing():
            raise httpcore.WriteError("the connection is closed") from wire.lost
        if not buffer:
            self._flush()
        elif self._head or len(buffer) > _JOINED:
            head, self._head = self._head, b""
            if head and len(buffer) > _JOINED:
                wire.transport.write(head)
                head = b""
            wire.transport.write(head + buffer if head else buffer)
        else:
            self._head = buffer
            return
        if wire.draining is not None:
            async with _errors(httpcore.WriteError, httpcore.WriteTimeout, timeout):
                await asyncio.shield(wire.draining)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._wire.transport.write(head)

    async def aclose(self) -> None:
        """Close it at once: the peer is to stop."""
        transport = self._wire.transport
        if self._wire.encrypted or transport.get_write_buffer_size():
            transport.abort()  # waits neither for the peer to read nor for it to say goodbye
        else:
            transport.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted. Errors are httpcore's."""
        loop, wire = asyncio.get_running_loop(), self._wire
        async with _errors(httpcore.ConnectError, httpcore.ConnectTimeout, timeout):
            encrypted = await loop.start_tls(
                wire.transport, wire, ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=timeout
            )
            if encrypted is None:
                raise ConnectionError("the connection was lost while it was being encrypted")
        wire.encrypted = True
        wire.transport = encrypted
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        wire = self._wire
        if info == "is_readable":
            return bool(wire.parts) or wire.ended or wire.transport.is_closing() or _readable(self.socket)
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return wire.transport.get_extra_info(names.get(info, info))


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _readable(sock: socket.socket) -> bool:
    """Whether the kernel holds something that the event loop has not seen yet: bytes, or the peer's goodbye."""
    number = sock.fileno()
    if number < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([number], [], [], 0)[0])


@contextlib.asynccontextmanager
async def _errors(
    error: type[Exception], too_late: type[Exception], seconds: float | None
) -> AsyncGenerator[None, None]:
    """Turn what asyncio raises into httpcore's, after `seconds` at the latest."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as cause:
        raise too_late(str(cause) or f"nothing within {seconds} s") from cause
    except (OSError, ssl.SSLError) as cause:
        raise error(str(cause)) from cause
