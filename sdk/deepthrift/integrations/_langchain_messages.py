"""LangChain's messages as ours, and our replies as LangChain's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call_chunk

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.events import Finished, ReasoningDelta, TextDelta, ToolCallDelta
from deepthrift._types.messages import Message
from deepthrift._types.reply import Reply
from deepthrift.integrations._source import billed
from deepthrift_pricing import Usage

_UNREADABLE: Final = frozenset({"image", "image_url", "audio", "input_audio", "video", "file"})


def as_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """The messages of a call.

    Raises:
        InvalidRequestError: One holds what V3.1 cannot read.
    """
    return [_message(place, each) for place, each in enumerate(messages)]


def _message(place: int, message: BaseMessage) -> Message:
    content = cast("str | Sequence[str | Mapping[str, object]]", message.content)
    for block in () if isinstance(content, str) else content:
        kind = None if isinstance(block, str) else block.get("type")
        if kind in _UNREADABLE:
            raise InvalidRequestError(f"messages[{place}] has a block of type {kind!r}; V3.1 reads text only")
    text = str(message.text)
    match message:
        case AIMessage():
            return _assistant(message, text)
        case ToolMessage():
            return {"role": "tool", "content": text, "tool_call_id": message.tool_call_id}
        case SystemMessage():
            return {"role": "system", "content": text}
        case HumanMessage():
            return {"role": "user", "content": text, "name": message.name} if message.name else _user(text)
        case ChatMessage():
            return cast("Message", {"role": message.role, "content": text})
        case _:
            raise InvalidRequestError(f"messages[{place}] is of the type {message.type!r}, which V3.1 has no role for")


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(answer: AIMessage, text: str) -> Message:
    message: dict[str, object] = {"role": "assistant", "content": text}
    thought = [str(block.get("reasoning", "")) for block in answer.content_blocks if block["type"] == "reasoning"]
    if any(thought):
        message["reasoning_content"] = "".join(thought)
    calls = [(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in answer.tool_calls]
    calls += [(call["id"], call["name"] or "", call["args"] or "") for call in answer.invalid_tool_calls]
    if calls:
        message["tool_calls"] = [
            {"id": id_ or "", "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in calls
        ]
    return cast("Message", message)


def as_answer(reply: Reply) -> AIMessage:
    """A reply as a message; what it cost is in `response_metadata`."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in reply.tool_calls:
        arguments = None if call.cut else _arguments(call.arguments)
        if arguments is None:
            told = "max_tokens cut the call off" if call.cut else "the arguments are not a JSON object"
            invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=told))
        else:
            calls.append(ToolCall(name=call.name, args=arguments, id=call.id))
    return AIMessage(
        content=reply.text,
        additional_kwargs={"reasoning_content": reply.reasoning} if reply.reasoning else {},
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage(reply.usage),
        response_metadata=billed(reply),
    )


def _arguments(text: str) -> dict[str, object] | None:
    try:
        read: object = json.loads(text or "{}")
    except ValueError:
        return None
    return cast("dict[str, object]", read) if isinstance(read, dict) else None


def _usage(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cache_hit_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


class MessageChunks:
    """The events of one stream as pieces of a message."""

    def __init__(self) -> None:
        self._called = False

    def of(self, event: object) -> AIMessageChunk | None:
        """The piece that an event brings, if any."""
        match event:
            case ReasoningDelta(text):
                return AIMessageChunk(content="", additional_kwargs={"reasoning_content": text})
            case TextDelta(text):
                return AIMessageChunk(content=text)
            case ToolCallDelta(index, id_, name, arguments):
                self._called = True
                return _calls([(index, id_, name, arguments)])
            case Finished(reply):
                return self._last(reply)
            case _:
                return None

    def _last(self, reply: Reply) -> AIMessageChunk:
        told = () if self._called else enumerate(reply.tool_calls)  # a router shows them only when they are final
        last = _calls([(index, call.id, call.name, call.arguments) for index, call in told])
        last.usage_metadata = _usage(reply.usage)
        last.response_metadata = billed(reply)
        last.chunk_position = "last"
        return last


def _calls(calls: Sequence[tuple[int, str | None, str | None, str]]) -> AIMessageChunk:
    chunks = [tool_call_chunk(name=name, args=arguments, id=id_, index=index) for index, id_, name, arguments in calls]
    return AIMessageChunk(content="", tool_call_chunks=chunks)
