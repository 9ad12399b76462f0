"""What a client has under way, so that closing it can wait for that, and then end it with nothing left unbooked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final, TypeVar

from deepthrift._call.stream import Source
from deepthrift._types.errors import ClientClosed

if TYPE_CHECKING:
    from deepthrift._call.call import Call

T = TypeVar("T")

_SECONDS_TO_BOOK: Final = 5.0
"""How long a call that was ended may take to close its connection and to book what it did."""


class InFlight:
    """The calls and streams of one client that have not come to their end."""

    def __init__(self) -> None:
        self.sources: set[Source] = set()
        self._calls: dict[Call, asyncio.Task[object] | None] = {}
        self._ended: set[Call] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._calls) + len(self.sources)

    async def run(self, call: Call, work: Coroutine[object, object, T]) -> T:
        """What `work`, which is all of `call`, comes to.

        Raises:
            ClientClosed: The client was closed meanwhile; the call is booked as far as it came.
            DeepthriftError: There is no reply.
        """
        self._calls[call] = task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if call not in self._ended or task is None or task.uncancel() > 0:
                raise
            raise call.told(_closed()) from None
        finally:
            del self._calls[call]
            self._ended.discard(call)
            self._changed.set()

    def over(self, source: Source) -> None:
        """A stream has come to its end."""
        self.sources.discard(source)
        self._changed.set()

    async def end(self, grace: float) -> None:
        """Wait up to `grace` seconds for what is under way, then end and book it."""
        try:
            await self._quiet(grace)
        finally:
            own = asyncio.current_task()
            for call, task in self._calls.items():
                if task is not None and task is not own:
                    self._ended.add(call)
                    task.cancel()
            sources = list(self.sources)
            for source in sources:
                await source.end(_closed())
            if sources:  # side by side: a store that can't be written keeps none of them longer than one
                await asyncio.gather(*(source.call.written() for source in sources))
            if self._ended:
                await self._quiet(_SECONDS_TO_BOOK, ended_only=True)

    async def _quiet(self, seconds: float, *, ended_only: bool = False) -> None:
        if not seconds > 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._ended if ended_only else len(self):
                    self._changed.clear()
                    await self._changed.wait()


def _closed() -> ClientClosed:
    return ClientClosed("the client was closed before the answer was complete; what arrived of it is booked")
