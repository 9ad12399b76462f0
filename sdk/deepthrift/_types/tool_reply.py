"""What comes out of a loop of tool calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from deepthrift._types.events import StreamEvent
from deepthrift._types.messages import Message
from deepthrift._types.reply import Reply, ToolCall

_AS_IT_IS = GetPydanticSchema(lambda source, handler: core_schema.any_schema())
"""Messages are the user's own dicts: passed on, never copied or cut to the fields known here."""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool is about to run."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of one tool call."""

    call: ToolCall
    text: str
    """What the model got to read: the result, or what went wrong."""
    failed: bool
    """Whether the tool raised, is not known, or could not be called with these arguments."""
    seconds: float
    """Wall-clock time in the tool."""


ToolLoopEvent: TypeAlias = StreamEvent | ToolStarted | ToolResult
"""What `run_tools` tells `on_event`, told apart by class: the stream of every round, and each tool's start and end."""


class ToolReply(Reply):
    """The model's last answer, with the whole exchange that led to it.

    `attempts`, `usage`, `cost`, `warnings` and `seconds` cover every round; the rest is the last answer's.
    """

    messages: Annotated[tuple[Message, ...], _AS_IT_IS]
    """The conversation with every call, result and answer; add a user message to go on with it."""
    rounds: int
    """How often the model was asked."""
    results: tuple[ToolResult, ...]
    """Every tool call that ran, in the order in which the model made them."""
    group_id: str
    """Every attempt of the exchange carries it in the ledger."""
