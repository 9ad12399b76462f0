"""Tool calls: put together from deltas, or read from V3.1's own text form when a server leaves it in the answer."""

from __future__ import annotations

import re
from typing import Final

from deepthrift._types.reply import ToolCall
from deepthrift._wire.chunk import ToolCallPart

BEGIN: Final = "<｜tool▁calls▁begin｜>"
_END: Final = "<｜tool▁calls▁end｜>"
_CALL: Final = re.compile(r"<｜tool▁call▁begin｜>(.*?)<｜tool▁sep｜>(.*?)<｜tool▁call▁end｜>", re.DOTALL)
_OLD: Final = re.compile(r"([^\n]+)\n```json\n(.*)\n```", re.DOTALL)


class ToolCalls:
    """Tool calls under construction."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}
        self._last = -1

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, part: ToolCallPart) -> tuple[int, str | None, str | None, str]:
        """Take in a fragment; returns its index, and its id, name and arguments as far as they are new."""
        index = self._index(part)
        self._last = index
        call = self._calls.setdefault(index, ["", "", ""])
        name = part.function.name if part.function else None
        arguments = (part.function.arguments if part.function else None) or ""
        new_id = part.id if part.id and not call[0] else None
        new_name = name if name and name != call[1] else None
        call[0] = call[0] or (part.id or "")
        if new_name:
            call[1] += new_name
        call[2] += arguments
        return index, new_id, new_name, arguments

    def _index(self, part: ToolCallPart) -> int:
        if part.index is not None:
            return part.index
        if part.id and part.id not in {call[0] for call in self._calls.values()}:
            return self._last + 1
        return max(self._last, 0)

    def finish(self) -> tuple[ToolCall, ...]:
        """The calls in order. One without an id gets a name of its own, so that its result can refer to it."""
        return tuple(
            ToolCall(id=call[0] or f"call_{index}", name=call[1], arguments=call[2] or "{}")
            for index, call in sorted(self._calls.items())
        )


class ToolText:
    """Keeps V3.1's own form of tool calls out of what a reader of the stream sees."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False

    @property
    def holding(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """The part of `text`, and of what was held back, that is no tool call and cannot become one."""
        if not self._held and "<" not in text:
            return text
        self._held += text
        if self._begun:
            return ""
        at = self._held.find(BEGIN)
        self._begun = at >= 0
        if at < 0:
            at = self._held.rfind("<")
            if at < 0 or not BEGIN.startswith(self._held[at:]):
                at = len(self._held)
        shown, self._held = self._held[:at], self._held[at:]
        return shown

    def release(self, *, all_of_it: bool = False) -> str:
        """What was held back and is no tool call; with `all_of_it`, what looked like one as well."""
        if self._begun and not all_of_it:
            return ""
        held, self._held, self._begun = self._held, "", False
        return held


def from_text(text: str) -> tuple[str, tuple[ToolCall, ...]] | None:
    """The text before the calls and the calls, if `text` holds V3.1's own form of them."""
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return None
    body = rest.partition(_END)[0]
    calls = tuple(_call(index, match[1].strip(), match[2].strip()) for index, match in enumerate(_CALL.finditer(body)))
    return (before.rstrip(), calls) if calls else None


def _call(index: int, name: str, arguments: str) -> ToolCall:
    # Checkpoints before V3.1 write `function`, the name, and the arguments in a fence; prompts made for them linger.
    old = _OLD.fullmatch(arguments) if name == "function" else None
    if old is not None:
        name, arguments = old[1].strip(), old[2].strip()
    return ToolCall(id=f"call_{index}", name=name, arguments=arguments)
