"""Just enough HTTP/1.1 for a test server that sees every byte and every hang-up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

_POLL: Final = 0.005
"""Seconds between two looks at whether the client is still there."""

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


@dataclass(frozen=True)
class RawRequest:
    """One request as it came off the wire; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = False

    @property
    def client_gone(self) -> bool:
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.transport.is_closing()

    async def read(self) -> RawRequest | None:
        """The next request, or `None` when the client closed the connection."""
        try:
            first = await self._reader.readexactly(1)
            if not first.isalpha():  # a TLS greeting, for one
                return None
            head = first + await self._reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ", 2)
            pairs = (line.split(":", 1) for line in lines[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            if "chunked" in headers.get("transfer-encoding", ""):
                body = await self._read_chunked()
            else:
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return RawRequest(method, path, headers, body)

    async def _read_chunked(self) -> bytes:
        body = b""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return body

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than the client does."""
        end = time.monotonic() + seconds
        while True:
            if self.client_gone:
                raise ClientGone
            left = end - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(_POLL, left))

    async def wait(self, event: threading.Event | None) -> None:
        """Wait until `event` is set, but not longer than the client does."""
        while event is not None and not event.is_set():
            await self.pause(_POLL)

    async def head(self, status: int, headers: Mapping[str, str], *, length: int | None = None) -> None:
        """Status line and headers; without a length, the body is chunked."""
        self._chunked = length is None
        phrase = _PHRASES.get(status, "Status")
        size = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in {**headers, **size}.items())]
        await self._write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, data: bytes) -> None:
        """A part of the body."""
        if data:
            await self._write(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    async def finish(self) -> None:
        """The end of the body."""
        if self._chunked:
            await self._write(b"0\r\n\r\n")

    async def _write(self, data: bytes) -> None:
        if self.client_gone:
            raise ClientGone
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            raise ClientGone from None

    def abort(self) -> None:
        """Cut the line at once."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
