"""Keeps tool calls that are written as text out of what a reader of the stream sees."""

from __future__ import annotations

import re
from typing import Final

from deepthrift._wire.tool_calls.markup import MARK

_FENCE: Final = r"```[\w-]{0,20}\s{0,8}"
_START: Final = re.compile(rf"(?:{_FENCE})?(?:{MARK.pattern}|<(?:function_calls|tool_calls)>)")
_FENCE_AT_END: Final = re.compile(rf"(?:`{{1,2}}|{_FENCE})$")
_OPENINGS: Final = (
    "<|toolcallsbegin|>", "<|toolcallbegin|>", "<|toolcallsend|>", "<|toolsep|>", "<|DSML", "<||DSML", "<DSML",
    "</|DSML", "</||DSML", "</DSML", "<functioncalls>", "<toolcalls>",
)  # fmt: skip
"""Without what differs between servers: the width of bars, blanks and underscores."""
_LONGEST: Final = 40
"""Characters: more than any opening mark has, blanks included."""
_ALIKE: Final = str.maketrans({"｜": "|", "▁": None, "_": None, " ": None, "\n": None})


class ToolText:
    """The text of one kind, from which markup is held back as soon as it begins.

    A tail that may become a mark, such as `<` or the start of a code fence, waits for the next piece.
    """

    def __init__(self) -> None:
        self._held = ""
        self._marked = False

    @property
    def holding(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """The part of `text`, and of what was held back, that is no tool call and cannot become one."""
        if not self._held and "<" not in text and "`" not in text:
            return text
        self._held += text
        if self._marked:
            return ""
        match = _START.search(self._held)
        self._marked = match is not None
        at = _doubtful(self._held) if match is None else match.start()
        shown, self._held = self._held[:at], self._held[at:]
        return shown

    def release(self, *, all_of_it: bool = False) -> str:
        """What was held back and is no tool call; with `all_of_it`, what looked like one as well."""
        if self._marked and not all_of_it:
            return ""
        held, self._held, self._marked = self._held, "", False
        return held


def _doubtful(text: str) -> int:
    """Where the end of `text` begins that may become a mark."""
    at = text.rfind("<", max(0, len(text) - _LONGEST))
    if at < 0 or not _may_open(text[at:]):
        at = len(text)
    fence = _FENCE_AT_END.search(text, max(0, at - _LONGEST), at)
    return at if fence is None else fence.start()


def _may_open(tail: str) -> bool:
    alike = tail.translate(_ALIKE)
    return any(opening.startswith(alike) or alike.startswith(opening) for opening in _OPENINGS)
