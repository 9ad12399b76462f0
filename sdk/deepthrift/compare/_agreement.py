"""Whether two answers say the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final, TypeAlias

from deepthrift._types.messages import Messages
from deepthrift._types.reply import Reply

Agree: TypeAlias = Callable[[Reply, Reply, Messages], bool | None]
"""Tells whether two answers to a conversation say the same; `None` when that cannot be told."""

_AROUND: Final = re.compile(r"^[\s\"'`*_]+|[\s\"'`*_.!]+$")


def same_text(a: Reply, b: Reply, messages: Messages) -> bool | None:
    """Whether two answers, and the tools they call, are the same to the letter but for case, white space and quoting.

    An answer that was cut off, or that is blank, cannot be told.
    """
    if "length" in (a.finish_reason, b.finish_reason):
        return None
    first, second = _normal(a.text), _normal(b.text)
    if not (first or a.tool_calls) or not (second or b.tool_calls):
        return None
    called = [[(call.name, call.arguments) for call in reply.tool_calls] for reply in (a, b)]
    return first == second and called[0] == called[1]


def _normal(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
    return _AROUND.sub("", plain)
