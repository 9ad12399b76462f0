"""A routed answer as it arrives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

from deepthrift import Finished
from deepthrift.errors import ConfigurationError
from deepthrift.shared.streams import Pulled
from deepthrift_router._record.presenter import RoutedEvent, StreamMode, StreamPresenter
from deepthrift_router._record.reply import RoutedReply

if TYPE_CHECKING:
    from deepthrift import Client

T = TypeVar("T")
Begin: TypeAlias = Callable[[StreamPresenter], Awaitable[RoutedReply]]


class AsyncRoutedStream(AsyncIterator[RoutedEvent]):
    """A routed answer in pieces: `async with router.stream(…) as stream: async for event in stream: …`.

    Events are those of a plain stream, and `Escalated`, which takes back what was shown before it. The last one is
    `Finished`, whose `RoutedReply` `stream.reply` returns as well. Leaving the block in any way stops every call that
    is under way and books what arrived.
    """

    def __init__(self, begin: Begin, mode: StreamMode) -> None:
        if mode not in ("verified", "optimistic"):
            raise ConfigurationError(f"mode is 'verified' or 'optimistic', not {mode!r}")
        self._begin = begin
        self._events: deque[RoutedEvent] = deque()
        self._more = asyncio.Event()
        self._telling = StreamPresenter(self._put, mode)
        self._task: asyncio.Task[RoutedReply] | None = None
        self._reply: RoutedReply | None = None
        self._closed = False

    def _put(self, event: RoutedEvent) -> None:
        self._events.append(event)
        self._more.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[RoutedEvent]:
        try:
            while events := await self.batch():
                for event in events:
                    yield event
        finally:
            await self.aclose()

    async def __anext__(self) -> RoutedEvent:
        if not self._events:
            self._events.extendleft(reversed(await self.batch()))
        if not self._events:
            raise StopAsyncIteration
        return self._events.popleft()

    async def batch(self) -> list[RoutedEvent]:
        """All events that have come since the last look, at least one; none only at the end.

        Raises:
            DeepthriftError: There is no answer, as in `chat`.
        """
        if self.ended:
            return []
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
        if not self._events:
            await self._more.wait()
        if not self._events:
            task, closed, self._closed = self._task, self._closed, True
            await asyncio.wait({task})  # unlike `await task`, no cancellation of it becomes the reader's
            if not closed and not task.cancelled():
                task.result()  # raises what ended it
            return []
        events = list(self._events)
        self._events.clear()
        if not self._task.done():
            self._more.clear()
        return events

    async def _run(self) -> RoutedReply:
        try:
            self._reply = await self._begin(self._telling)
            self._events.append(Finished(self._reply))
            return self._reply
        finally:
            self._more.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._closed or (self._reply is not None and not self._events)

    @property
    def reply(self) -> RoutedReply:
        """The complete reply.

        Raises:
            ConfigurationError: The stream has not ended, or was left before its end.
        """
        if self._reply is None:
            raise ConfigurationError("the stream has not ended; read it to its end")
        return self._reply

    async def aclose(self) -> None:
        """Stop what is under way and book what arrived. Safe to call twice."""
        self._closed = True
        self._events.clear()
        task = self._task
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # was raised to the reader, or nobody reads on


class RoutedStream(Pulled[RoutedEvent]):
    """The same for code without `await`: `with router.stream(…) as stream: for event in stream: …`."""

    def __init__(self, client: Client, stream: AsyncRoutedStream) -> None:
        super().__init__(client, stream)
        self._stream = stream

    @property
    def reply(self) -> RoutedReply:
        """The complete reply.

        Raises:
            ConfigurationError: The stream has not ended, or was left before its end.
        """
        return self._stream.reply
