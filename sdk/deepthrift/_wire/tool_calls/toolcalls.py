"""Tool calls, put together from deltas in every form that endpoints send them.

Most endpoints number the calls of an answer, and send id and name once. Others number all calls 0, send no number, no
id, the same id twice, whole calls in each delta, or everything so far in each delta. The rules:

- An id or a number that was not seen before starts a call.
- Where an id or number comes again, a call starts if the one before it is complete, and a name or other arguments come.
- Anything else goes on with the last call of that id or number.
"""

from __future__ import annotations

from collections.abc import Iterator

from deepthrift._types.reply import ToolCall
from deepthrift._wire.events.chunk import ToolCallPart
from deepthrift._wire.tool_calls.callids import CallIds
from deepthrift._wire.tool_calls.markup import is_json


class ToolCalls:
    """Tool calls under construction."""

    def __init__(self, ids: CallIds | None = None) -> None:
        self._ids = ids or CallIds()
        self._calls: list[_Call] = []
        self._earlier = 0
        self.whole = False
        """Whether what comes next is a whole message, in which every entry is a call."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, part: ToolCallPart) -> tuple[int, str | None, str | None, str]:
        """Take in a fragment; returns its call's place, and its id, name and arguments as far as they are new."""
        key = part.id or ""
        function = part.function or part
        name, arguments = function.name or "", function.arguments or ""
        call = self._whole(part, key, name, arguments) if self.whole else self._find(part.index, key, name, arguments)
        if call is None and not (key or name or arguments or self.whole):
            return max(len(self._calls) - 1, 0), None, None, ""
        if call is None:
            before = self._calls[-1] if self._calls else None
            call = _Call(len(self._calls), part.index)
            if not name and before is not None and before.named_again and not self.whole:
                name, call.key = before.name, before.key
            self._calls.append(call)
        new_id: str | None = None
        if key and not call.key:
            call.key = key
        if not call.id and (key or name or arguments):
            call.id = new_id = self._ids.admit(key)
        new_name = call.add_name(name)
        return call.place, new_id, new_name, call.add_arguments(arguments, whole=self.whole)

    def message(self, *, whole: bool) -> None:
        """What comes next is a whole message, or a delta."""
        self.whole, self._earlier = whole, len(self._calls)

    def rest(self) -> Iterator[tuple[int, str]]:
        """The place and arguments of calls of which something was held back; to be called once, at the end."""
        for call in self._calls:
            if left := call.held():
                yield call.place, left

    def finish(self, *, cut: bool = False) -> tuple[ToolCall, ...]:
        """The calls in order.

        Args:
            cut: Whether the answer was cut off, so that calls with half-written arguments are marked.
        """
        calls: list[ToolCall] = []
        for call in self._calls:
            text = call.text()
            half = cut and not is_json(text) and (bool(text.strip()) or call is self._calls[-1])
            identity = call.id or self._ids.admit("")
            call.id = identity
            calls.append(ToolCall(id=identity, name=call.name, arguments=text or ("" if half else "{}"), cut=half))
        return tuple(calls)

    def _whole(self, part: ToolCallPart, key: str, name: str, arguments: str) -> _Call | None:
        """The call of a stream that its last message repeats, if there is one."""
        for call in self._calls[: self._earlier]:
            if key and call.key == key and call.name == name and call.text() == arguments:
                return call
        return None

    def _find(self, number: int | None, key: str, name: str, arguments: str) -> _Call | None:
        """The call that a delta goes on with; `None` if it starts one."""
        here = [call for call in self._calls if number is None or call.number is None or call.number == number]
        last = here[-1] if here else None
        if key:
            same = next((call for call in reversed(here) if call.key == key), None)
            if same is not None:
                return None if same.is_followed_by(name, arguments, same_id=True) else same
            elsewhere = next((call for call in reversed(self._calls) if call.key == key), None)
            if elsewhere is not None and not name and not elsewhere.complete:
                return elsewhere  # the number grows with each delta
            if last is None or last.complete:
                return None
            if not last.key and last.name in ("", name):
                return last  # the id came late
            if last.key and last.name and not name and (arguments or last.text()):
                return last  # a new id in each delta
            return None
        if last is None:
            latest = self._calls[-1] if self._calls else None
            goes_on = latest is not None and not name and bool(arguments) and not latest.complete
            return latest if goes_on else None
        return None if last.is_followed_by(name, arguments, same_id=False, numbered=number is not None) else last


class _Call:
    """One call under construction."""

    __slots__ = (
        "_extended",
        "_pieces",
        "_scan",
        "_shown",
        "_size",
        "_snapshot",
        "id",
        "key",
        "name",
        "named_again",
        "number",
        "place",
    )

    def __init__(self, place: int, number: int | None) -> None:
        self.place = place
        self.number = number
        self.key = ""
        """The endpoint's id, as it was first sent."""
        self.id = ""
        self.name = ""
        self._pieces: list[str] = []
        self._snapshot: str | None = None
        """The arguments, where each delta has all of them so far."""
        self._extended = 0
        self._size = 0
        self._scan = _Scan()
        self._shown = 0
        self.named_again = False
        """Whether the name came once more after the end of the arguments: another call of it may begin."""

    @property
    def complete(self) -> bool:
        """Whether the arguments are a JSON text that has come to its end."""
        text = self._snapshot
        return self._scan.ended(self._pieces) if text is None else is_json(text)

    def text(self) -> str:
        """The arguments so far."""
        joined = "".join(self._pieces)
        return joined if self._snapshot is None or is_json(joined) else self._snapshot

    def add_name(self, name: str) -> str | None:
        """Take in a name or a piece of one; returns what is new of it."""
        if not name or name == self.name or (self.name and self._pieces):
            return None
        if self.name and name.startswith(self.name):  # all of the name so far
            new, self.name = name[len(self.name) :], name
            return new
        self.name += name
        return name

    def add_arguments(self, piece: str, *, whole: bool) -> str:
        """Take in a piece of the arguments; returns what is new of it, as far as that is certain."""
        if not piece or (whole and self._pieces):
            return ""
        opens = piece.lstrip()[:1] == "{"
        if opens and len(self._pieces) == 1 and self._pieces[0].strip() == "{}":
            self._pieces, self._size, self._scan = [], 0, _Scan()  # some send it first, and then the arguments
        before, so_far = self._size, None
        if opens and before and len(piece) >= before and not whole:
            so_far = "".join(self._pieces) if self._snapshot is None else self._snapshot
        self._pieces.append(piece)
        if so_far is not None and piece.startswith(so_far):
            self._snapshot, self._size = piece, len(piece)
            self._extended += 1
            return self._new() if self._extended > 1 else ""
        self._size += len(piece)
        if self._snapshot is not None:
            self._snapshot = None if self._extended == 1 else self._snapshot + piece  # once may be by chance
            self._size = len(self.text())
        elif len(self._pieces) == 1 and piece.strip() == "{}" and not whole:
            return ""
        elif self._shown == before:
            self._shown += len(piece)
            return piece
        return self._new()

    def held(self) -> str:
        """What was held back of the arguments."""
        return self._new()

    def is_followed_by(self, name: str, arguments: str, *, same_id: bool, numbered: bool = True) -> bool:
        """Whether a delta in the place of this call starts another one."""
        if not self.name:
            return False
        if not self.complete:
            if not name or name == self.name:
                return False
            return bool(self._pieces) or not (numbered or same_id)
        repeated = self._repeats(arguments) and (same_id or self._snapshot is not None)
        if not name:
            return self.named_again and bool(arguments.strip()) and not repeated
        if name != self.name:
            return True
        if not arguments.strip():
            self.named_again = True
            return False
        return not repeated

    def _repeats(self, arguments: str) -> bool:
        text = self.text()
        return arguments.strip() == text.strip() or text.strip() == "{}"

    def _new(self) -> str:
        text = self.text()
        new, self._shown = text[self._shown :], max(self._shown, len(text))
        return new


class _Scan:
    """Tells whether a JSON text has come to its end. Reads each character once, and only when it is asked."""

    __slots__ = ("_depth", "_escaped", "_over", "_quoted", "_read", "_started")

    def __init__(self) -> None:
        self._read = 0
        self._depth = 0
        self._quoted = self._escaped = self._started = self._over = False

    def ended(self, pieces: list[str]) -> bool:
        for piece in pieces[self._read :]:
            for character in piece:
                self._take(character)
        self._read = len(pieces)
        return self._started and self._depth == 0 and not self._over

    def _take(self, character: str) -> None:
        if self._quoted:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self._quoted = False
        elif character == '"':
            self._quoted = True
        elif character in "{[":
            self._over = self._over or (self._started and self._depth == 0)
            self._started = True
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
        elif self._started and self._depth == 0 and not character.isspace():
            self._over = True
