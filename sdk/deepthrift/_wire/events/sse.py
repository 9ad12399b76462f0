"""Server-sent events from bytes that arrive in any pieces."""

from __future__ import annotations

from typing import Final

from deepthrift._types.errors import ResponseTooLarge
from deepthrift._wire.events.heartbeat import SPEAKING, is_end_mark, is_heartbeat_name

DONE: Final = b"[DONE]"
_LARGEST_EVENT: Final = 16 * 2**20
"""Bytes: more than any event of a chat has, and few enough to hold in memory."""
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")


class EventDecoder:
    """Cuts a byte stream into the data of its events.

    Comments, fields other than `data`, and events named as heartbeats are skipped. Lines may end in LF, CR or both.
    Accepted as well: a prefix written twice (`data: data: {…}`), events without a blank line between them, a JSON
    object without any framing, and a last event without its blank line.

    Args:
        most: The largest event in bytes.
    """

    def __init__(self, most: int = _LARGEST_EVENT) -> None:
        self._most = min(most, _LARGEST_EVENT)
        self._rest: list[bytes] = []
        """The pieces of a line that has not ended."""
        self._rest_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._skip = False
        self._after_cr = False
        self._started = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that `piece` completes.

        Raises:
            ResponseTooLarge: A line or an event is larger than any of a chat.
        """
        if not piece:
            return []
        if self._started and not (self._rest or self._data or self._after_cr or self._skip) and _is_one_event(piece):
            return [piece[6:-2]]
        if b"\r" in piece or self._after_cr:
            piece = self._without_cr(piece)
        if not self._started:
            piece = b"".join([*self._rest, piece])
            self._rest, self._rest_size = [], 0
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._rest, self._rest_size = [piece], len(piece)
                return []
            piece = piece.removeprefix(_BOM)
            self._started = True
        head, end, tail = piece.rpartition(b"\n")
        if not end:
            self._keep(piece)
            return []
        lines = head.split(b"\n")
        if self._rest:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._rest_size = [], 0
        self._keep(tail)
        events: list[bytes] = []
        for line in lines:
            self._line(line, events)
        return events

    def flush(self) -> list[bytes]:
        """The data of an event that the end of the stream leaves without its blank line."""
        rest = b"".join(self._rest)
        self._rest, self._rest_size = [], 0
        events: list[bytes] = []
        if rest:
            self._line(rest, events)
        self._line(b"", events)
        return events

    def _keep(self, tail: bytes) -> None:
        if tail:
            self._rest.append(tail)
            self._rest_size += len(tail)
            self._check(self._rest_size + self._data_size)

    def _check(self, size: int) -> None:
        if size > self._most:
            shown = f"{self._most >> 20} MiB" if self._most >= 2**20 else f"{self._most:,} bytes"
            raise ResponseTooLarge(f"the stream sent an event of more than {shown}; is this the chat endpoint?")

    def _without_cr(self, piece: bytes) -> bytes:
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith(b"\r") if piece else False
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if line[:1] in (b" ", b"\t", b"\xef"):
            line = line.removeprefix(_BOM).lstrip()
        if line.startswith(b"data:"):
            value = line[5:].strip()
            while value.startswith(b"data:"):  # a gateway that framed what was framed already
                value = value[5:].strip()
            if value.startswith(_FIELDS):  # a comment or another field, framed once more
                if value.startswith(b"event:"):
                    self._line(value, events)
            elif is_end_mark(value):
                self._dispatch(events)
                events.append(DONE)
            elif value:
                self._add(value, events)
        elif line.startswith(b"event:"):
            self._skip = is_heartbeat_name(line[6:])
        elif line.startswith(b"{"):
            self._add(line.rstrip(), events)  # a server that forgot the framing, usually of an error
        elif not line.strip():
            self._dispatch(events)
        elif line.strip() == DONE:
            self._dispatch(events)
            events.append(DONE)

    def _add(self, value: bytes, events: list[bytes]) -> None:
        if self._data and self._data[-1].endswith(b"}") and value[:1] not in (b",", b"}", b"]"):
            self._dispatch(events)  # nothing in JSON goes on like that after an object: the blank line is missing
        self._data.append(value)
        self._data_size += len(value) + 1
        self._check(self._data_size)

    def _dispatch(self, events: list[bytes]) -> None:
        skip, self._skip = self._skip, False
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            if not skip or any(name in data for name in SPEAKING):
                events.append(data)
            self._data.clear()
            self._data_size = 0


def _is_one_event(piece: bytes) -> bool:
    """Whether it is one event of one line and nothing else, as servers that flush each event send it."""
    return piece.startswith(b"data: {") and piece.endswith(b"}\n\n") and piece.count(b"\n") == 2 and b"\r" not in piece
