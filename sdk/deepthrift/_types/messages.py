"""What goes into a call: messages in the OpenAI shape, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypeAlias, TypedDict

from deepthrift_pricing.errors import InvalidRequestError


class TextPart(TypedDict):
    """One text part of a message; parts are joined to plain text before sending."""

    type: Literal["text"]
    text: str


class FunctionCall(TypedDict):
    """The function of a tool call; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCallParam(TypedDict):
    """A tool call in an assistant message of the history."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class SystemMessage(TypedDict):
    """Instructions for the model."""

    role: Literal["system"]
    content: str | Sequence[TextPart]
    name: NotRequired[str]


class UserMessage(TypedDict):
    """What the user said."""

    role: Literal["user"]
    content: str | Sequence[TextPart]
    name: NotRequired[str]


class AssistantMessage(TypedDict):
    """What the model said. Reasoning is kept or stripped before sending, by the host's rule."""

    role: Literal["assistant"]
    content: NotRequired[str | Sequence[TextPart] | None]
    reasoning_content: NotRequired[str | None]
    tool_calls: NotRequired[Sequence[ToolCallParam]]
    prefix: NotRequired[bool]
    name: NotRequired[str]


class ToolMessage(TypedDict):
    """The result of a tool call."""

    role: Literal["tool"]
    content: str | Sequence[TextPart]
    tool_call_id: str


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage
"""One message of a conversation, a plain dict in the OpenAI form."""

Messages: TypeAlias = str | Sequence[Message]
"""A conversation, or a string that stands for one user message."""

JSONValue: TypeAlias = "str | int | float | bool | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
"""Anything that JSON can say."""

JSONObject: TypeAlias = Mapping[str, JSONValue]
"""A JSON object."""


def message_list(messages: Messages) -> list[Message]:
    """The messages as a list of one's own, a string as one user message.

    Raises:
        InvalidRequestError: They are neither a string nor a list.
    """
    given: object = messages
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(given, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"messages must be a string or a list of messages, not {type(messages).__name__}")
    return list(messages)
