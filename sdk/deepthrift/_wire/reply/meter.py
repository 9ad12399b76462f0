"""Reads an answer while it passes, so that what is booked is what the endpoint said."""

from __future__ import annotations

import contextlib

from deepthrift._types.errors import DeepthriftError
from deepthrift._wire.events.body import BodyReader
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.events.heartbeat import is_heartbeat
from deepthrift._wire.events.large import sized
from deepthrift._wire.events.sse import DONE, EventDecoder
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer


class Meter:
    """Reads an answer beside the caller, so that what is booked is what the endpoint said, whatever a middleware makes
    of it."""

    def __init__(self, accumulator: Accumulator) -> None:
        self.accumulator = accumulator
        self._reader = BodyReader(EventDecoder())

    async def feed(self, data: bytes | None) -> None:
        """The next bytes of a stream, `None` at its end. What cannot be read is left to the caller to complain of."""
        with contextlib.suppress(DeepthriftError):
            for block in self._reader.feed(data):
                await sized(len(block), self._add, block)

    def whole(self, body: bytes) -> None:
        """A body in one piece."""
        with contextlib.suppress(DeepthriftError):
            for block in [*self._reader.feed(body), *self._reader.feed(None)]:
                self._add(block)
        self.accumulator.flush()
        self.accumulator.done = self.accumulator.done or self.accumulator.started

    def _add(self, block: bytes) -> None:
        if block == DONE:
            self.accumulator.done = True
        if self.accumulator.done or is_heartbeat(block):
            return
        chunk = parse_chunk(block.strip())
        if not chunk.is_error:
            self.accumulator.add(chunk)

    @property
    def answer(self) -> Answer | None:
        """What the endpoint said, if it came to its end."""
        return self.accumulator.answer() if self.accumulator.finished else None
