"""Characters that arrive in halves: a server that cuts JSON strings by UTF-16 units can split an emoji in two."""

from __future__ import annotations

import re
from typing import Final

_HALF: Final = re.compile("[\ud800-\udfff]")
_BLOCK: Final = 2**20
"""Characters searched in one go: a search holds up every other thread."""


class HalfJoiner:
    """Joins the halves of characters (UTF-16 surrogates) across pieces of one text.

    A half that never finds its other half becomes U+FFFD, so the result can always be encoded.
    """

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """`text` in whole characters; a first half at its end is held back for the next piece."""
        if not self._half and (text.isascii() or not _has_halves(text)):
            return text
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)

    @property
    def waiting(self) -> bool:
        """Whether a first half is held back."""
        return bool(self._half)

    def flush(self) -> str:
        """U+FFFD for a half that is still held back."""
        left, self._half = self._half, ""
        return "\ufffd" if left else ""


def whole(text: str) -> str:
    """`text` with halves joined, and U+FFFD for each half that stands alone."""
    if text.isascii() or not _has_halves(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _has_halves(text: str) -> bool:
    return any(_HALF.search(text, start, start + _BLOCK) for start in range(0, len(text), _BLOCK))
