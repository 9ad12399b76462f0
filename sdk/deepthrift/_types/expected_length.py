"""How long an answer will be, told by somebody who knows better than the median of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import Messages
from deepthrift_pricing import Mode

ExpectedLength: TypeAlias = Callable[[Messages, Mode], int | None]
"""Tells how many completion tokens a conversation will get in a mode, reasoning included; `None` if it cannot tell."""


def told_length(expected: ExpectedLength | None, messages: Messages, mode: Mode) -> int | None:
    """What `expected` tells of one call, if anything.

    Raises:
        InvalidRequestError: It told something else than a number of tokens.
    """
    length = None if expected is None else expected(messages, mode)
    if length is not None and (not isinstance(length, int) or length < 0):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"expected_length tells a number of tokens, 0 or more, or None; it told {length!r}")
    return length
