"""A body as the JSON texts in it: one, or the data of each event, whatever the endpoint was asked for."""

from __future__ import annotations

from deepthrift._wire.events.sse import EventDecoder

_MARKS = (b"\ndata:", b"\rdata:")
_NOISE = 16_384
"""Bytes that are kept of what is no stream, to quote from."""


class BodyReader:
    """Gives out the JSON texts of a body as it arrives: the data of each event, or all of it at its end."""

    def __init__(self, events: EventDecoder) -> None:
        self._events = events
        self._whole: list[bytes] | None = None
        self._tail = b""
        self._sniffed = False
        self.noise = b""
        """The beginning of text that is neither an event nor a comment."""

    def feed(self, data: bytes | None) -> list[bytes]:
        """What the next bytes complete; `None` stands for the end."""
        if not self._sniffed and data is not None and (start := data.lstrip()):
            self._sniffed = True
            if start.startswith((b"{", b"[")) and not start.startswith(b"[DONE]"):
                self._whole = []  # not a stream after all: one JSON, in most cases an error
        if self._whole is not None:
            if data is not None:
                self._whole.append(data)
                seam = self._tail + data
                self._tail = seam[-8:]
                if not any(mark in seam for mark in _MARKS):
                    return []
                held, self._whole = b"".join(self._whole), None
                return self._events.feed(held)  # a stream all the same: JSON has no such lines
            body = b"".join(self._whole).strip()
            self._whole = []
            return lines_of(body) or [body]
        blocks = self._events.flush() if data is None else self._events.feed(data)
        if not blocks and len(self.noise) < _NOISE and (self.noise or _is_noise(data)):
            self.noise += data or b""
        return blocks


def lines_of(body: bytes) -> list[bytes]:
    """The JSON texts of a body that has one on each line; none if it is a single text."""
    first, _, rest = body.partition(b"\n")
    if not rest or not first.rstrip().endswith(b"}"):
        return []
    events = EventDecoder()
    return [*events.feed(body), *events.flush()]


def _is_noise(data: bytes | None) -> bool:
    """Whether bytes of which no event was made are no comment either."""
    start = b"" if data is None else data.lstrip()[:1]
    return bool(start) and start != b":"
