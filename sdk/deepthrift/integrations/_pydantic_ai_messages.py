"""pydantic-ai's messages as ours, and our replies as pydantic-ai's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, cast

from pydantic_ai.messages import (
    FinishReason,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import Message
from deepthrift._types.reply import Reply
from deepthrift.integrations._source import billed
from deepthrift_pricing import Usage

PROVIDER: Final = "deepthrift"
_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
}


def as_messages(history: Sequence[ModelMessage], instructions: Sequence[str]) -> list[Message]:
    """The messages of a call, the agent's instructions behind its system prompts.

    Raises:
        InvalidRequestError: One holds what V3.1 cannot read.
    """
    messages = [each for message in history for each in _messages(message)]
    place = next((place for place, each in enumerate(messages) if each["role"] != "system"), len(messages))
    messages[place:place] = [{"role": "system", "content": text} for text in instructions]
    return messages


def _messages(message: ModelMessage) -> Iterator[Message]:
    if isinstance(message, ModelRequest):
        for part in message.parts:
            yield from _request_part(part)
    elif (answer := _answer(message)) is not None:
        yield answer


def _request_part(part: object) -> Iterator[Message]:
    match part:
        case SystemPromptPart():
            yield {"role": "system", "content": part.content}
        case UserPromptPart():
            yield {"role": "user", "content": _text(part.content)}
        case ToolReturnPart():
            yield {"role": "tool", "content": part.model_response_str(), "tool_call_id": part.tool_call_id}
        case _:
            kind = getattr(part, "part_kind", type(part).__name__)
            raise InvalidRequestError(f"V3.1 has no place for a message part of the kind {kind!r}")


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for each in cast("Sequence[object]", content):
        kind = getattr(each, "kind", None)
        if isinstance(each, str):
            texts.append(each)
        elif kind == "text-content":
            texts.append(str(getattr(each, "content", "")))
        elif kind != "cache-point":  # the host's cache needs no marks
            raise InvalidRequestError(f"V3.1 reads text only, and the prompt has a part of the kind {kind!r}")
    return "\n".join(texts)


def _answer(response: ModelResponse) -> Message | None:
    thought = "".join(part.content for part in response.parts if isinstance(part, ThinkingPart))
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    if not (thought or calls or text):
        return None
    message: dict[str, object] = {"role": "assistant", "content": text}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": call.args_as_json_str()},
            }
            for call in calls
        ]
    return cast("Message", message)


def as_response(reply: Reply, url: str | None) -> ModelResponse:
    """A reply as a response; what it cost is in its usage, and everything else about it in `provider_details`."""
    parts: list[ModelResponsePart] = []
    if reply.reasoning:
        parts.append(ThinkingPart(reply.reasoning, provider_name=PROVIDER))
    if reply.text:
        parts.append(TextPart(reply.text))
    parts += [ToolCallPart(call.name, call.arguments, call.id) for call in reply.tool_calls]
    return ModelResponse(
        parts=parts,
        usage=as_usage(reply),
        model_name=reply.model,
        timestamp=datetime.now(UTC),
        provider_name=PROVIDER,
        provider_url=url,
        provider_details=billed(reply),
        provider_response_id=reply.response_id,
        finish_reason=finish_reason(reply),
    )


def finish_reason(reply: Reply) -> FinishReason | None:
    """Why the answer ended, in pydantic-ai's words."""
    return _FINISH.get(reply.finish_reason)


def as_usage(reply: Reply) -> RequestUsage:
    """The tokens of a reply, all its attempts together, and their exact cost where that is in US dollars."""
    usage: Usage = reply.usage
    return RequestUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_hit_tokens,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        details={"reasoning_tokens": usage.reasoning_tokens},
        cost=reply.cost.amount if reply.cost.currency == "USD" else None,
    )
