"""Reasoning that arrives inside the text, told apart at its closing tag."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

OPEN: Final = "<think>"
CLOSE: Final = "</think>"

Kind: TypeAlias = Literal["reasoning", "text"]
Piece: TypeAlias = tuple[Kind, str]


class ThinkSplitter:
    """Cuts streamed text into reasoning and answer.

    Reasoning starts at an opening tag at the very head of the text; with `expected`, also without one, because the
    prompt may already hold it. It ends at the first closing tag. A tag may be spread over any number of pieces.
    """

    def __init__(self, *, expected: bool) -> None:
        self._state: Literal["head", "reasoning", "text"] = "head"
        self._expected = expected
        self._held = ""
        self._strip = False
        self.closed = False
        """Whether a closing tag has been seen."""

    def feed(self, text: str) -> list[Piece]:
        """What `text` makes certain."""
        if self._state == "text" and not self._strip:
            return [("text", text)]
        out: list[Piece] = []
        self._held += text
        if self._state == "head":
            self._head(final=False)
        if self._state == "reasoning":
            self._reasoning(out, final=False)
        if self._state == "text":
            self._text(out)
        return out

    def flush(self) -> list[Piece]:
        """What was held back, at the end of the stream."""
        out: list[Piece] = []
        if self._state == "head":
            self._head(final=True)
        if self._state == "reasoning":
            self._reasoning(out, final=True)
        if self._state == "text":
            self._text(out)
        return out

    def plain(self) -> None:
        """Take everything from here on for text: the host sends its reasoning in a field of its own."""
        if self._state == "head":
            self._state = "text"

    def _head(self, *, final: bool) -> None:
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._held = start[len(OPEN) :]
            self._state = "reasoning"
        elif final or not OPEN.startswith(start):
            self._state = "reasoning" if self._expected else "text"

    def _reasoning(self, out: list[Piece], *, final: bool) -> None:
        before, tag, after = self._held.partition(CLOSE)
        if tag:
            self.closed = True
            self._state, self._held, self._strip = "text", after, True
        else:
            keep = 0 if final else _overlap(before)
            before, self._held = before[: len(before) - keep], before[len(before) - keep :]
        if before:
            out.append(("reasoning", before))

    def _text(self, out: list[Piece]) -> None:
        text, self._held = self._held, ""
        if self._strip:
            text = text.lstrip()  # the blank lines between the tag and the answer belong to neither
            self._strip = not text
        if text:
            out.append(("text", text))


def _overlap(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a closing tag."""
    for size in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if text.endswith(CLOSE[:size]):
            return size
    return 0


def late_close(text: str) -> tuple[str, str] | None:
    """Reasoning and answer of a text that was taken for an answer, yet has a closing tag.

    A tag that is quoted belongs to what the answer says.
    """
    start = text.find(CLOSE)
    if start < 0:
        return None
    quotes = "`'\"“”«»"
    before, after = text[:start], text[start + len(CLOSE) :]
    if (before and before[-1] in quotes) or (after and after[0] in quotes) or OPEN in before.lstrip()[1:]:
        return None
    return before.strip().removeprefix(OPEN).strip(), after.lstrip()
