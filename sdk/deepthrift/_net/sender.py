"""One endpoint: where requests go, with what headers, and how answers are read and connections let go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Final

import httpx

from deepthrift._net.limits import LARGEST_RESPONSE
from deepthrift._net.transport import OriginTransport
from deepthrift._net.unpacking import encodings_of, unpacked
from deepthrift._types.errors import ConfigurationError, ResponseTooLarge
from deepthrift._util.secrets import shown_url

_DRAIN_BYTES: Final = 65_536
"""More than the end of a chat stream ever holds: keep-alives and the terminator of the body."""
_DRAIN_SECONDS: Final = 2.0
_WAIT_FOR_DRAIN: Final = 0.05
_CONNECT_SECONDS: Final = 15.0
_ERROR_BODY: Final = 65_536
_PIECE: Final = 256 * 1024
"""Bytes that are handed on in one go, so that no other task waits for all of them."""


class RequestBody(httpx.AsyncByteStream):
    """The bytes of a request; `sent` says whether any of them may have left the machine."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.sent = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent = True
        yield self._data


class Incoming:
    """A response whose body is still arriving; no more than `limit` bytes of it, unpacked, are read."""

    limit: int = LARGEST_RESPONSE
    """Bytes, after unpacking."""

    def __init__(self, response: httpx.Response, limit: int = LARGEST_RESPONSE) -> None:
        self.response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.limit = limit
        self._size = 0
        self._rest = b""
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise ConfigurationError("the transport answers synchronously; an asynchronous one is needed")
        parts: AsyncIterator[bytes] = stream.__aiter__()
        encodings = encodings_of(response.headers) if "content-encoding" in response.headers else None
        self._parts: AsyncIterator[bytes] = unpacked(parts, encodings) if encodings else parts

    async def read(self) -> bytes | None:
        """The next bytes, or `None` at the end.

        Raises:
            ResponseTooLarge: There is more than `limit`.
        """
        piece = self._rest
        try:
            while not piece:
                piece = await self._parts.__anext__()
        except StopAsyncIteration:
            return None
        self._rest = b""
        if len(piece) > _PIECE:  # a transport of the user's own may hand over all of it at once
            piece, self._rest = piece[:_PIECE], piece[_PIECE:]
        self._size += len(piece)
        if self._size > self.limit:
            excess, self._size = self._size - self.limit, self.limit
            if excess >= len(piece):
                raise ResponseTooLarge(
                    f"the answer has more than max_response_bytes={self.limit:,} bytes, so it was not read to its end. "
                    "What it cost stays booked. If answers may be that large, raise max_response_bytes"
                )
            kept = len(piece) - excess
            piece, self._rest = piece[:kept], piece[kept:] + self._rest
        return piece

    async def read_all(self, most: int | None = None) -> bytes:
        """Everything up to the end, or up to `most` bytes.

        Raises:
            ResponseTooLarge: There is more than `limit`.
        """
        parts: list[bytes] = []
        size = 0
        while (most is None or size < most) and (part := await self.read()) is not None:
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    async def read_error(self) -> bytes:
        """The beginning of an error's body; blank where it cannot be unpacked."""
        try:
            return await self.read_all(_ERROR_BODY)
        except httpx.DecodingError:
            return b""

    async def close(self) -> None:
        """Give the connection back, or close it if the body has not come to its end."""
        with contextlib.suppress(Exception):
            await self.response.stream.aclose()  # type: ignore[union-attr]  # checked on the way in


class Sender:
    """Sends requests to one URL, and minds the connections that callers have finished with."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport,
        headers: Mapping[str, str],
        limit: int = LARGEST_RESPONSE,
    ) -> None:
        self.url = httpx.URL(url)
        self._limit = limit
        self._transport = transport
        self._headers = {"host": self.url.netloc.decode("ascii"), **headers}
        self._tasks: set[asyncio.Task[None]] = set()
        self._drains: dict[asyncio.Task[None], Incoming] = {}
        self._paths: dict[tuple[str, bool], httpx.URL] = {}
        self._drained = asyncio.Event()
        self._draining = 0

    async def send(
        self,
        path: str,
        data: RequestBody,
        size: int,
        headers: Mapping[str, str],
        *,
        beside: bool = False,
        whole: bool = False,
    ) -> Incoming:
        """Post JSON; returns when the response's head is there. Errors are httpx's.

        Args:
            path: Below the base URL; with `beside`, below the base URL without its `/v1` or `/beta`.
            data: The body.
            size: Its length in bytes.
            headers: Further headers.
            beside: See `path`.
            whole: Whether `headers` are all there are to be, beside the length.
        """
        if self._draining and not (isinstance(self._transport, OriginTransport) and self._transport.idle):
            # A stream's last bytes follow its end mark within a moment; a handshake takes longer than waiting for them.
            self._drained.clear()
            # Not asyncio.wait_for: in Python 3.11 it loses a cancellation that comes with what it waits for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_FOR_DRAIN):
                    await self._drained.wait()
        request = httpx.Request(
            "POST",
            self._path(path, beside),
            headers={**({} if whole else self._headers), **headers, "content-length": str(size)},
            stream=data,
            extensions={"timeout": {"connect": _CONNECT_SECONDS, "read": None, "write": None, "pool": None}},
        )
        return Incoming(await self._transport.handle_async_request(request), self._limit)

    def told(self, path: str, headers: Mapping[str, str], *, beside: bool = False) -> tuple[str, Mapping[str, str]]:
        """Where a request would go, secrets hidden, and all of its headers but the length."""
        return shown_url(str(self._path(path, beside))), {**self._headers, **headers}

    async def get(self, path: str, *, beside: bool = False) -> Incoming:
        """Get; returns when the response's head is there. Errors are httpx's. `path` and `beside` are as for `send`."""
        timeouts = {"connect": _CONNECT_SECONDS, "read": None, "write": None, "pool": None}
        request = httpx.Request(
            "GET", self._path(path, beside), headers=self._headers, extensions={"timeout": timeouts}
        )
        return Incoming(await self._transport.handle_async_request(request), self._limit)

    def _path(self, path: str, beside: bool = False) -> httpx.URL:
        found = self._paths.get((path, beside))
        if found is None:
            base = self.url.path.rstrip("/")
            if beside:  # a base URL of DeepSeek's may end in its beta path already
                base = base.removesuffix("/v1").removesuffix("/beta")
            found = self.url.copy_with(path=base + path)
            self._paths[path, beside] = found
        return found

    def let_go(self, incoming: Incoming) -> None:
        """The caller has all it wants: read the rest behind it, within bounds, so that the connection can be reused."""
        self._draining += 1
        task = self._behind(self._drain(incoming))
        self._drains[task] = incoming
        task.add_done_callback(self._drains.pop)

    def close_behind(self, incoming: Incoming) -> None:
        """Close a response apart from the caller, whom a cancellation may have reached."""
        self._behind(incoming.close())

    async def _drain(self, incoming: Incoming) -> None:
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await incoming.read_all(_DRAIN_BYTES)
        except Exception:  # noqa: S110  # whatever is wrong with the rest, nobody wants it any more
            pass
        finally:
            await incoming.close()
            self._draining -= 1
            self._drained.set()

    def _behind(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # A task of its own also outlives a second cancellation of the caller.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Close everything; what is still being drained is not waited for."""
        for task, incoming in list(self._drains.items()):
            task.cancel()
            await incoming.close()  # a task that has not begun yet would never do it
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_DRAIN_SECONDS)
        await self._transport.aclose()
