"""Text that has run into a loop: the same piece over and over until the tokens are used up."""

from __future__ import annotations

from typing import Final

_TAIL: Final = 3_000
_LEAST: Final = 480
"""Characters that the repeated pieces fill together before they count: short runs are ordinary text."""
_TIMES: Final = 12


def degenerate(text: str) -> bool:
    """Whether `text` ends in one piece of up to 200 characters that is repeated at least twelve times.

    Rows of a table, lists and padding differ from line to line; digits and rules ("-----") do not count.
    """
    tail = text[-_TAIL:].rstrip()
    for length in range(1, 201):
        if length * _TIMES > len(tail):
            return False
        piece = tail[-length:]
        if tail[-length * 2 : -length] != piece:
            continue
        if not any(character.isalpha() for character in piece):
            continue
        times = 1
        while tail.endswith(piece * (times + 1)):
            times += 1
        if times >= _TIMES and times * length >= _LEAST:
            return True
    return False
