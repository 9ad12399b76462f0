"""What a stream yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from deepthrift._types.reply import Reply


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The endpoint accepted the attempt; repeated if a retry starts over before any text arrived."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A further piece of the chain of thought."""

    text: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A further piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A further piece of a tool call; `id` and `name` come first, then fragments of `arguments`."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of the stream, with the complete reply."""

    reply: Reply


StreamEvent: TypeAlias = StreamStarted | ReasoningDelta | TextDelta | ToolCallDelta | Finished
"""What a stream yields, told apart by class, in order of arrival."""
