"""Server-sent events from bytes that arrive in any pieces."""

from __future__ import annotations

from typing import Final

from deepthrift._types.errors import MalformedResponse

_LARGEST_EVENT: Final = 16 * 2**20
"""Bytes: more than any event of a chat has, and few enough to hold in memory."""


class EventDecoder:
    """Cuts a byte stream into the data of its events.

    Comments and fields other than `data` are passed over; so are the blank and comment-like data frames that some
    gateways send to keep a connection alive. Lines may end in LF, CR or both, and a last event without its blank line
    still counts.
    """

    def __init__(self) -> None:
        self._rest: bytes = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self._started = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that `piece` completes."""
        if not piece:
            return []
        if self._started and not (self._rest or self._data or self._after_cr) and _is_one_event(piece):
            return [piece[6:-2]]
        if b"\r" in piece or self._after_cr:
            piece = self._without_cr(piece)
        buffer = self._rest + piece
        if not self._started:
            if b"\xef\xbb\xbf".startswith(buffer[:3]) and len(buffer) < 3:
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        lines = buffer.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LARGEST_EVENT:
            raise MalformedResponse("the stream sent a line of more than 16 MiB; is this the chat endpoint?")
        events: list[bytes] = []
        for line in lines:
            self._line(line, events)
        return events

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream leaves without its blank line."""
        rest, self._rest = self._rest, b""
        events: list[bytes] = []
        if rest:
            self._line(rest, events)
        self._line(b"", events)
        return events

    def _without_cr(self, piece: bytes) -> bytes:
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r") if piece else False
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            value = line[5:].strip()
            if value == b"[DONE]":
                self._dispatch(events)
                events.append(value)
            elif value and not value.startswith(b":"):
                self._data.append(value)
        elif line.startswith(b"{"):
            self._data.append(line)  # a server that forgot the framing, usually of an error
        elif not line.strip():
            self._dispatch(events)

    def _dispatch(self, events: list[bytes]) -> None:
        if self._data:
            events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data.clear()


def _is_one_event(piece: bytes) -> bool:
    """Whether it is one event of one line and nothing else, as servers that flush each event send it."""
    return piece.startswith(b"data: {") and piece.endswith(b"}\n\n") and piece.count(b"\n") == 2 and b"\r" not in piece
