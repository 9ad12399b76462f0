"""Reads an answer while it passes, so that what is booked is what the endpoint said."""

from __future__ import annotations

import contextlib

from deepthrift._types.errors import DeepthriftError
from deepthrift._wire.answer import Accumulator, Answer
from deepthrift._wire.chunk import parse_chunk
from deepthrift._wire.sse import EventDecoder


class Meter:
    """Reads an answer beside the caller, so that what is booked is what the endpoint said, whatever a middleware makes
    of it."""

    def __init__(self, accumulator: Accumulator) -> None:
        self.accumulator = accumulator
        self._events = EventDecoder()
        self._whole: list[bytes] | None = None
        self._sniffed = False

    def feed(self, data: bytes | None) -> None:
        """The next bytes of a stream, `None` at its end. What cannot be read is left to the caller to complain of."""
        with contextlib.suppress(DeepthriftError):
            self._feed(data)

    def _feed(self, data: bytes | None) -> None:
        if not self._sniffed and data is not None and (start := data.lstrip()):
            self._sniffed = True
            self._whole = [] if start.startswith((b"{", b"[")) else None
        if self._whole is not None:
            if data is not None:
                self._whole.append(data)
                return
            blocks = [b"".join(self._whole)]
        else:
            blocks = self._events.flush() if data is None else self._events.feed(data)
        for block in blocks:
            if block == b"[DONE]":
                self.accumulator.done = True
                return
            self._add(block)

    def whole(self, body: bytes) -> None:
        """A body in one piece."""
        self.feed(body)
        self.feed(None)
        self.accumulator.flush()
        self.accumulator.done = self.accumulator.done or self.accumulator.started

    def _add(self, block: bytes) -> None:
        chunk = parse_chunk(block.strip())
        if not chunk.is_error:
            self.accumulator.add(chunk)

    @property
    def answer(self) -> Answer | None:
        """What the endpoint said, if it came to its end."""
        return self.accumulator.answer() if self.accumulator.finished else None
