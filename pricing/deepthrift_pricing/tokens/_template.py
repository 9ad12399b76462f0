"""V3.1's chat template in plain Python: a conversation becomes frame tokens and plain text.

Renders what DeepSeek's own Jinja template (`tokenizer_config.json` of deepseek-ai/DeepSeek-V3.1) renders. The list of
tools, which that template leaves out, is in the model card's wording, as the templates of vLLM and SGLang write it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeGuard

from deepthrift_pricing._values.errors import InvalidRequestError
from deepthrift_pricing._values.usage import Mode
from deepthrift_pricing.tokens import _special as s

Conversation: TypeAlias = str | Sequence[Mapping[str, object]]
"""Messages in the OpenAI shape, or a string that stands for one user message."""

Tools: TypeAlias = Sequence[Mapping[str, object]]
"""Tools in the OpenAI shape: `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A special token of the prompt's frame, never text of a message."""

    text: str


Segment: TypeAlias = str | Frame

_ROLES: Final = ("system", "user", "assistant", "tool")
_TOOLS_HEAD: Final = "## Tools\nYou have access to the following tools:\n"
_TOOLS_FORMAT: Final[tuple[Segment, ...]] = (
    "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n",
    Frame(s.TOOL_CALLS_BEGIN),
    Frame(s.TOOL_CALL_BEGIN),
    "tool_call_name",
    Frame(s.TOOL_SEP),
    "tool_call_arguments",
    Frame(s.TOOL_CALL_END),
    "{{additional_tool_calls}}",
    Frame(s.TOOL_CALLS_END),
    "\n\nWhere:\n\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces\n",
)


def segments(messages: Conversation, *, mode: Mode, tools: Tools | None = None, prefix: bool = False) -> list[Segment]:
    """The prompt as frame tokens and plain text, in order; see `render` for the rules."""
    conversation = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    if mode not in ("standard", "thinking"):
        raise InvalidRequestError(f"mode {mode!r} is unknown: use 'standard' or 'thinking'")
    if not conversation:
        raise InvalidRequestError("there are no messages: give at least one, or a string")
    for place, message in enumerate(conversation):
        _check_role(message, place)
    open_end = _open_end(conversation, prefix)
    out: list[Segment] = [Frame(s.BEGIN), *_system(conversation, tools)]
    think = Frame(s.THINK_BEGIN if mode == "thinking" else s.THINK_END)
    awaiting = answering = False  # a user message waits for its answer; tool results wait for the answer that uses them
    for place, message in enumerate(conversation):
        role = message["role"]
        if role == "user":
            out += [Frame(s.USER), _content(message, place)]
            awaiting, answering = True, False
        elif role == "tool":
            out += [Frame(s.TOOL_OUTPUT_BEGIN), _content(message, place), Frame(s.TOOL_OUTPUT_END)]
            awaiting, answering = False, True
        elif role == "assistant":
            calls = _tool_calls(message, place)
            begun = bool(message.get("prefix")) or (open_end and place == len(conversation) - 1)
            if awaiting:
                out += [Frame(s.ASSISTANT), think if begun and not calls else Frame(s.THINK_END)]
            if calls:
                out += calls
            else:
                text = _content(message, place)
                out.append(text if answering else _after_thoughts(text))
            out.append(Frame(s.END))
            awaiting = answering = False
    if open_end:
        out.pop()
    elif awaiting:
        out += [Frame(s.ASSISTANT), think]
    return out


def tools_segments(tools: Tools) -> list[Segment]:
    """The section on tools that belongs at the end of the system prompt."""
    out: list[Segment] = [_TOOLS_HEAD]
    for place, tool in enumerate(tools):
        function = tool.get("function")
        if not _is_object(function) or not isinstance(function.get("name"), str):
            raise InvalidRequestError(f"tools[{place}] needs a 'function' object with a 'name'")
        description = function.get("description") or ""
        try:
            parameters = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"tools[{place}]: the parameters are not JSON: {error}") from error
        out.append(f"\n### {function['name']}\nDescription: {description}\n\nParameters: {parameters}\n")
    return [*out, *_TOOLS_FORMAT]


def plain_text(content: object) -> str:
    """The text of a message's content: the string itself, or text parts joined by a newline as vLLM and llama.cpp do.

    Raises:
        InvalidRequestError: The content is something else, or not Unicode text; V3.1 reads text only.
    """
    if isinstance(content, str):
        text = content
    elif _is_list(content):
        text = "\n".join(_part(part) for part in content)
    else:
        raise InvalidRequestError(f"content must be a string or a list of text parts, not {type(content).__name__}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(f"content is not Unicode text: lone surrogate at {error.start}") from error
    return text


def _part(part: object) -> str:
    if _is_object(part) and part.get("type") == "text" and isinstance(text := part.get("text"), str):
        return text
    kind = part.get("type") if _is_object(part) else type(part).__name__
    raise InvalidRequestError(f"a content part of type {kind!r} cannot be sent: V3.1 reads text parts only")


def _content(message: Mapping[str, object], place: int) -> str:
    try:
        return plain_text(message.get("content"))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"messages[{place}] ({message['role']}): {error}") from error


def _after_thoughts(text: str) -> str:
    before, mark, after = text.partition(s.THINK_END)
    return after if mark else before


def _check_role(message: object, place: int) -> None:
    if not _is_object(message):
        raise InvalidRequestError(
            f"messages[{place}] is {type(message).__name__}, not a mapping with 'role' and 'content'"
        )
    role = message.get("role")
    if role not in _ROLES:
        advice = "use 'system'" if role == "developer" else f"use one of {', '.join(_ROLES)}"
        raise InvalidRequestError(f"messages[{place}] has the role {role!r}, which V3.1 does not know: {advice}")


def _open_end(conversation: Sequence[Mapping[str, object]], prefix: bool) -> bool:
    """Whether the last message is the beginning of an answer that the model continues."""
    last = conversation[-1]
    if last["role"] != "assistant":
        if prefix:
            raise InvalidRequestError("a prefix needs an assistant message at the end of the conversation")
        return False
    if not prefix and not last.get("prefix"):
        return False
    if last.get("tool_calls"):
        raise InvalidRequestError("an assistant message with tool calls is complete: it cannot be a prefix")
    return True


def _system(conversation: Sequence[Mapping[str, object]], tools: Tools | None) -> list[Segment]:
    texts = [_content(m, place) for place, m in enumerate(conversation) if m["role"] == "system"]
    out: list[Segment] = ["\n\n".join(texts)]
    if tools:
        out += ["\n\n", *tools_segments(tools)]
    return out


def _tool_calls(message: Mapping[str, object], place: int) -> list[Segment]:
    calls = message.get("tool_calls")
    if not calls:
        return []
    if not _is_list(calls):
        raise InvalidRequestError(f"messages[{place}]: tool_calls must be a list, not {type(calls).__name__}")
    out: list[Segment] = [_content(message, place)] if message.get("content") is not None else []
    out.append(Frame(s.TOOL_CALLS_BEGIN))
    for number, call in enumerate(calls):
        function = call.get("function") if _is_object(call) else None
        name = function.get("name") if _is_object(function) else None
        arguments = function.get("arguments") if _is_object(function) else None
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise InvalidRequestError(
                f"messages[{place}].tool_calls[{number}] needs a function with a name and its arguments as JSON text"
            )
        out += [Frame(s.TOOL_CALL_BEGIN), plain_text(name), Frame(s.TOOL_SEP), plain_text(arguments)]
        out.append(Frame(s.TOOL_CALL_END))
    out.append(Frame(s.TOOL_CALLS_END))
    return out


def _is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
