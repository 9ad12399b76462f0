"""The way of a request to an engine that may sleep, die and come up again somewhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import httpx

from deepthrift._net.transport import OriginTransport, origin_of
from deepthrift._types.errors import EngineCrashed

if TYPE_CHECKING:
    from deepthrift.local._process.runner import Runner, Running

_DEATH_SECONDS: Final = 0.5
"""A lost connection comes a moment before the death of its process shows."""
_CLOSED_SECONDS: Final = 0.1
"""The engine also closes connections while it lives."""


class EngineTransport(OriginTransport):
    """An httpx transport to a `Runner`'s engine: it is started again before a request, never in the middle of one.

    Raised from it, beside httpx's errors, are those of `Runner.begin`, and `EngineCrashed` in place of a lost
    connection.
    """

    def __init__(self, runner: Runner, url: str) -> None:
        super().__init__(url)
        self._runner = runner
        self._generation = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` to the engine; the response's body is still to be read."""
        try:
            return await self._once(request)
        except EngineCrashed as crash:
            if not isinstance(crash.__cause__, httpx.ConnectError):
                raise  # it was dead before anything was sent: the next try starts it again
        except httpx.RemoteProtocolError:
            pass  # it lives, and closed a kept connection, as it does after 100 requests, just when this one came
        return await self._once(request)

    async def _once(self, request: httpx.Request) -> httpx.Response:
        running = await self._runner.begin()
        try:
            if running.generation != self._generation:
                self._generation = running.generation
                self._move(running.url)
            request.headers["authorization"] = f"Bearer {running.key}"
            request.url = request.url.copy_with(host=self._url.host, port=self._url.port)
            response = await super().handle_async_request(request)
        except BaseException as error:
            self._runner.end()
            if (crash := await self.crash(error, running)) is not None:
                raise crash from error
            raise
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101
        response.stream = _Body(stream, self, running)
        return response

    def _move(self, url: str) -> None:
        """Another process answers from here on: the connections to the one before are of no use."""
        self._url = httpx.URL(url)
        self._origin = origin_of(self._url)
        while self._free:
            self._close_behind(self._free.pop().connection)

    async def crash(self, error: BaseException, running: Running) -> EngineCrashed | None:
        """What to raise in place of `error` if the engine died, else `None`."""
        if not isinstance(error, httpx.HTTPError | OSError) or isinstance(error, TimeoutError):
            return None
        closed = isinstance(error, httpx.RemoteProtocolError)
        return await self._runner.crash(running, _CLOSED_SECONDS if closed else _DEATH_SECONDS)

    def ended(self) -> None:
        """A response has come to its end, or been closed."""
        self._runner.end()


class _Body(httpx.AsyncByteStream):
    """A response's body, which tells once when it has ended."""

    def __init__(self, stream: httpx.AsyncByteStream, owner: EngineTransport, running: Running) -> None:
        self._stream = stream
        self._parts: AsyncIterator[bytes] = stream.__aiter__()
        self._owner = owner
        self._running = running
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._parts.__anext__()
        except Exception as error:
            crash = await self._owner.crash(error, self._running)
            if crash is not None:
                raise crash from error
            raise

    async def aclose(self) -> None:
        if not self._ended:
            self._ended = True
            self._owner.ended()
        await self._stream.aclose()
