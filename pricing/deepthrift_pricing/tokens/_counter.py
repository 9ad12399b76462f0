"""Counting text that arrives in pieces, exactly, without counting it again from the start."""

from __future__ import annotations

import re
from typing import Final

from deepthrift_pricing.tokens._text import count_text

# Places where a token can never span both sides and where what follows cannot change the tokens before: borders of
# digit runs and CJK runs, white space after anything else, the start of a line, and punctuation after an ASCII letter.
# There are more, but these need no table of Unicode categories, whose versions differ between Python and the tokenizer.
_CJK: Final = "\u3040-\u30ff\u4e00-\u9fa5"
_BORDER: Final = re.compile(
    r"(?<=\S)[ \t\u3000]"
    r"|(?<=\n)\S"
    rf"|(?<=[{_CJK}])[^{_CJK}]"
    rf"|(?<=[^{_CJK}])[{_CJK}]"
    r"|(?<=[\x00-/:-\x7f])[0-9]"
    r"|(?<=[0-9])[\x00-/:-\x7f]"
    r"|(?<=[A-Za-z])[!-/:-@\[-`{-~]"
)


class TextCounter:
    """Counts the tokens of text that arrives in pieces.

    After any pieces, `count` is exactly `count_text` of all of them joined. Only the text since the last sure border
    between two tokens is kept, a word or so; it is counted anew when `count` is read.

    This is what the text would cost as a prompt. A model may have generated it in other tokens: where a host reports
    usage, that is what is billed.
    """

    __slots__ = ("_open", "_open_count", "_settled")

    def __init__(self) -> None:
        self._settled = 0
        self._open = ""
        self._open_count: int | None = 0

    def feed(self, piece: str) -> None:
        """Take the next piece of the text, of any length."""
        if not piece:
            return
        known = max(len(self._open) - 1, 0)
        text = self._open + piece
        cut = 0
        for border in _BORDER.finditer(text, known):
            cut = border.start()
        if cut:
            self._settled += count_text(text[:cut])
        self._open = text[cut:]
        self._open_count = None

    @property
    def count(self) -> int:
        """The tokens of everything fed so far."""
        if self._open_count is None:
            self._open_count = count_text(self._open)
        return self._settled + self._open_count
