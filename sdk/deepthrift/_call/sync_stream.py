"""A streamed call for code without `await`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deepthrift._call.stream import AsyncStream
from deepthrift._sync.loop import Loop
from deepthrift._sync.pulled import Pulled
from deepthrift._types.events import StreamEvent
from deepthrift._types.reply import Reply

T = TypeVar("T")


class Stream(Pulled[StreamEvent]):
    """A call whose answer arrives in pieces: `with client.stream(…) as stream: for event in stream: …`.

    Leaving the loop or the block in any way stops the upstream at once and books what arrived. Events end with
    `Finished`, whose reply `stream.reply` returns as well.
    """

    def __init__(self, loop: Loop, stream: AsyncStream) -> None:
        super().__init__(loop, stream)
        self._stream = stream

    @property
    def reply(self) -> Reply:
        """The complete reply; after an early end, as much of it as had arrived.

        Raises:
            ConfigurationError: The stream has not ended; `snapshot()` has what there is.
        """
        return self._stream.reply

    def snapshot(self) -> Reply:
        """The reply as far as it has come, its usage and cost estimated."""
        return self._loop.run(on_loop(self._stream.snapshot))


async def on_loop(work: Callable[[], T]) -> T:
    return work()
