"""A loop of tool calls could not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from deepthrift_pricing.errors import CallDetails, DeepthriftError

if TYPE_CHECKING:
    from deepthrift._types.tool_reply import ToolReply


class ToolError(DeepthriftError):
    """A loop of tool calls could not go on.

    Attributes:
        partial: The exchange so far, with the usage and cost of every round, or `None` if nothing had been sent.
    """

    def __init__(self, message: str, *, partial: ToolReply | None = None, **details: Unpack[CallDetails]) -> None:
        super().__init__(message, **details)
        self.partial = partial


class ToolFailed(ToolError):
    """A tool raised an exception, which is the cause of this one. Raised only if asked to."""


class ToolCallCut(ToolError):
    """An answer reached `max_tokens` inside a tool call. No tool of its round ran, and no further round was sent.

    `partial.tool_calls` holds what arrived, and `partial.messages` the conversation before that answer: go on from
    there with a larger `max_tokens`.
    """


class ToolLoopExceeded(ToolError):
    """The limit on rounds or on spend was reached before the model had its answer. The next round was not sent."""
