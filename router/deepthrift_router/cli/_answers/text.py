"""Streamed text on a terminal: wrapped at words, cleaned of control sequences; and long lines, indented."""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PIECE: Final = re.compile(r"\n|[^\S\n]+|\S+")


def clean(text: str) -> str:
    """`text` without control characters, which could move the cursor or recolour; newlines and tabs stay."""
    return _CONTROL.sub("", text)


def hanging(line: str, console: Console) -> str:
    """An indented line in the width of `console`: what does not fit goes on below, two columns further in."""
    room, indent = console.width, len(line) - len(line.lstrip(" "))
    if cell_len(line) <= room or "\n" in line:
        return line
    further = " " * (indent + 2)
    rest = Text(line.strip()).wrap(console, max(1, room - len(further)))
    return "\n".join((further if place else further[2:]) + part.plain.rstrip() for place, part in enumerate(rest))


class Flow:
    """Writes a stream of fragments to a console, breaking lines between words.

    A word is held back until it is complete. On anything but a terminal the fragments pass through as they are, so
    that a pipe gets exactly what the model wrote.
    """

    def __init__(self, console: Console, *, style: str | None = None) -> None:
        self._console = console
        self._style = style
        self._column = 0
        self._held = ""
        self.written = False

    def write(self, text: str) -> None:
        """Add a fragment."""
        if not text:
            return
        self.written = True
        if not self._console.is_terminal:
            self._emit(text)
            self._column = 0 if text.endswith("\n") else 1
            return
        pieces = _PIECE.findall(self._held + clean(text))
        self._held = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        for piece in pieces:
            self._place(piece)

    def finish(self) -> None:
        """Write what is held back, and end the line."""
        if self._held:
            self._place(self._held)
            self._held = ""
        if self._column:
            self._emit("\n")
            self._column = 0

    def _place(self, piece: str) -> None:
        if piece == "\n":
            self._emit("\n")
            self._column = 0
            return
        room, width = self._console.width, cell_len(piece.expandtabs(4))
        if piece.isspace() and self._column + width >= room:
            self._emit("\n")
            self._column = 0
            return
        if self._column and self._column + width > room:
            self._emit("\n")
            self._column = 0
        self._emit(piece.expandtabs(4))
        # A word that is longer than a line goes on in the next one.
        self._column = (self._column + width - 1) % room + 1

    def _emit(self, text: str) -> None:
        if self._console.is_terminal:
            self._console.print(text, style=self._style, end="", markup=False, soft_wrap=True)
        else:  # the console would expand tabs and drop control characters
            self._console.file.write(text)
        self._console.file.flush()
