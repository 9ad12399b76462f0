"""A streamed call: typed events as they arrive, and the reply at the end."""

from __future__ import annotations

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deepthrift._types.errors import ConfigurationError, DeepthriftError
from deepthrift._types.events import StreamEvent
from deepthrift._types.reply import Reply

if TYPE_CHECKING:
    from deepthrift._call.call import Call


class Source:
    """The running side of a stream; it outlives a handle that the user drops, so that nothing stays unbooked."""

    def __init__(
        self,
        call: Call,
        loop: asyncio.AbstractEventLoop,
        blame: Callable[[DeepthriftError], Awaitable[None]],
        on_end: Callable[[Source], None],
    ) -> None:
        self.call = call
        self.loop = loop
        self._blame = blame
        self._on_end = on_end
        self.buffer: deque[StreamEvent] = deque()
        self._reader: asyncio.Task[object] | None = None
        self._stopped: asyncio.Event | None = None
        self._failure: DeepthriftError | None = None
        self._ending: DeepthriftError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more comes, not even an error."""
        return self.call.ended and self._failure is None

    async def fill(self) -> bool:
        """Read on until there are events; false at the end."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._reader is not None:
            raise ConfigurationError("two tasks read one stream at the same time; give each task a stream of its own")
        self._reader = reader = asyncio.current_task(self.loop)
        before = 0 if reader is None else reader.cancelling()
        try:
            self.buffer.extend(await self.call.advance())
        except DeepthriftError as error:
            await self._blame(error)
            raise
        except asyncio.CancelledError:
            # `aclose` in another task cancels this one, which just comes to its end, or to its error; unless the task
            # was cancelled by somebody else as well.
            if self._stopped is None or reader is None or reader.uncancel() > before:
                raise
            if self._ending is not None:
                raise self.call.told(self._ending) from None
            return False
        finally:
            self._reader = None
            if self._stopped is not None:
                self._stopped.set()
            if self.call.ended:
                self._on_end(self)
        return bool(self.buffer)

    async def aclose(self) -> None:
        """Stop the upstream and book what arrived. Safe to call twice, and from any task."""
        await self._stop()
        await self.call.written()

    async def _stop(self) -> None:
        self.buffer.clear()
        if self._reader is not None and self._stopped is None:
            self._stopped = asyncio.Event()
            self._reader.cancel()
            await self._stopped.wait()
        try:
            await self.call.catch_up()
        finally:
            self.abandon()

    async def end(self, error: DeepthriftError) -> None:
        """Stop the upstream and book what arrived; whoever reads on gets `error`."""
        if self.call.ended:
            return
        self._ending = error
        reading = self._reader is not None
        await self._stop()
        if not reading:
            self._failure = self.call.told(error)

    def abandon(self) -> None:
        """Stop the upstream and book what arrived, from the loop's own thread."""
        self.call.abandon()
        self._on_end(self)


class AsyncStream(AsyncIterator[StreamEvent]):
    """A call whose answer arrives in pieces: `async with client.stream(…) as stream: async for event in stream: …`.

    Leaving the loop or the block in any way stops the upstream at once and books what arrived. Events end with
    `Finished`, whose reply `stream.reply` returns as well.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        try:
            while True:
                while self._source.buffer:
                    yield self._source.buffer.popleft()
                if self._source.over or not await self._source.fill():
                    return
        finally:
            await self.aclose()

    async def __anext__(self) -> StreamEvent:
        if not self._source.buffer and (self._source.over or not await self._source.fill()):
            raise StopAsyncIteration
        return self._source.buffer.popleft()

    async def batch(self) -> list[StreamEvent]:
        """All events that the next bytes bring; none only at the end."""
        if not self._source.buffer and not self._source.over:
            await self._source.fill()
        events = list(self._source.buffer)
        self._source.buffer.clear()
        return events

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._source.call.ended and not self._source.buffer

    @property
    def reply(self) -> Reply:
        """The complete reply; after an early end, as much of it as had arrived.

        Raises:
            ConfigurationError: The stream has not ended; `snapshot()` has what there is.
        """
        if not self._source.call.ended:
            raise ConfigurationError("the stream has not ended; read it to its end, or take snapshot()")
        return self._source.call.snapshot()

    def snapshot(self) -> Reply:
        """The reply as far as it has come, its usage and cost estimated."""
        return self._source.call.snapshot()

    async def aclose(self) -> None:
        """Stop the upstream and book what arrived. Safe to call twice."""
        await self._source.aclose()

    def __del__(self) -> None:
        source = self._source
        loop = source.loop
        if source.call.ended or loop.is_closed():
            return
        warnings.warn(
            "a stream was dropped without being closed; read it inside `async with`", ResourceWarning, 2, source=self
        )
        loop.call_soon_threadsafe(source.abandon)
