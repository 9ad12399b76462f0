"""A user's messages, checked and copied into what goes over the wire. The user's own objects are never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, cast

from deepthrift._types.errors import InvalidRequestError, UnsupportedFeature
from deepthrift._types.messages import Messages
from deepthrift._wire.tool_calls.callids import with_own_ids
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode

WireMessage: TypeAlias = dict[str, object]

_ROLES: Final = ("system", "user", "assistant", "tool")
_CLOSE: Final = "</think>"


def wire_messages(
    messages: Messages, profile: HostProfile, *, mode: Mode = "standard", tools: bool = False
) -> list[WireMessage]:
    """Fresh messages for `profile`: parts joined, empty tool calls dropped, reasoning kept or stripped by its rule.

    Ids of tool calls that come twice are renamed, for hosts refuse them.

    Args:
        messages: The user's own; they stay as they are.
        profile: Whose rules hold.
        mode: The mode that will run; it decides what an answer to be continued begins with.
        tools: Whether the request has tools. Hosts that keep reasoning then want its field in every answer.

    Raises:
        InvalidRequestError: The conversation is empty or malformed; the message says where.
        UnsupportedFeature: A message holds something other than text.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    listed = _listed(messages)
    out = [_message(place, message, profile, last=place == len(listed) - 1) for place, message in enumerate(listed)]
    _check_order(out)
    if out[-1].get("prefix"):
        out[-1] = _begun(out[-1], mode, profile)
    if tools and profile.history == "keep":
        for message in out:
            if message["role"] == "assistant":
                message.setdefault("reasoning_content", "")
    if profile.default_system is not None and all(message["role"] != "system" for message in out):
        out.insert(0, {"role": "system", "content": profile.default_system})
    out = with_own_ids(out)
    return _merged(out) if profile.merge_roles else out


def _listed(messages: object) -> Sequence[object]:
    if not isinstance(messages, Sequence) or isinstance(messages, bytes):
        raise InvalidRequestError(f"messages must be a string or a list of messages, not {type(messages).__name__}")
    return cast("Sequence[object]", messages)


def question_of(messages: Sequence[WireMessage]) -> str:
    """The last user message."""
    return next((str(message["content"]) for message in reversed(messages) if message["role"] == "user"), "")


def with_question(messages: Sequence[WireMessage], question: str) -> list[WireMessage]:
    """A copy of `messages` in which the last user message is `question`."""
    out = list(messages)
    for place in range(len(out) - 1, -1, -1):
        if out[place]["role"] == "user":
            out[place] = {**out[place], "content": question}
            break
    return out


def _begun(message: WireMessage, mode: Mode, profile: HostProfile) -> WireMessage:
    """The beginning of an answer: in thinking mode, most servers go on from its content as reasoning."""
    seed = message.get("reasoning_content")
    if not seed or (mode == "thinking" and profile.prefix_form == "reasoning_content"):
        return message
    content = message.get("content")
    if mode == "standard":
        raise InvalidRequestError("a prefix with reasoning_content begins the reasoning; use mode='thinking'")
    if content:
        raise InvalidRequestError(
            f"{profile.name!r} goes on from reasoning or from an answer; give reasoning_content or content, not both"
        )
    return {**{key: value for key, value in message.items() if key != "reasoning_content"}, "content": seed}


def _message(place: int, given: object, profile: HostProfile, *, last: bool) -> WireMessage:
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"messages[{place}] is a {type(given).__name__}; write {{'role': …, 'content': …}}")
    message = cast("Mapping[str, object]", given)
    role = message.get("role")
    if role not in _ROLES:
        hint = "; V3.1 calls it 'system'" if role == "developer" else ""
        raise InvalidRequestError(f"messages[{place}] has the role {role!r}; use one of {', '.join(_ROLES)}{hint}")
    out: WireMessage = {"role": role}
    calls = _tool_calls(place, message.get("tool_calls")) if role == "assistant" else []
    content = message.get("content")
    begun = last and role == "assistant" and bool(message.get("prefix"))
    if begun and calls:
        raise InvalidRequestError("an assistant message with tool calls is complete: it cannot be a prefix")
    if content is None and calls:
        out["content"] = None
    elif begun:
        out["content"] = _content(place, role, content or "")
    elif role == "assistant" and profile.history == "strip":
        out["content"] = _without_reasoning(_content(place, role, content))
    else:
        out["content"] = _content(place, role, content)
    if calls:
        out["tool_calls"] = calls
    for key, value in message.items():
        if key in {"role", "content", "tool_calls"} or value is None or (key == "prefix" and not begun):
            continue
        if key in {"reasoning_content", "reasoning", "reasoning_details"} and profile.history == "strip":
            if begun and key == "reasoning_content":
                out[key] = _content(place, role, value)
            continue
        out[key] = value
    if role == "tool" and not isinstance(out.get("tool_call_id"), str):
        raise InvalidRequestError(f"messages[{place}] is a tool's result and needs the 'tool_call_id' that it answers")
    return out


def _content(place: int, role: object, content: object) -> str:
    if isinstance(content, str):
        text = content
    elif isinstance(content, Sequence) and not isinstance(content, bytes):
        # Joined as vLLM and llama.cpp do it; hosts that want plain strings refuse the list itself.
        text = "\n".join(_part(place, part) for part in cast("Sequence[object]", content))
    else:
        raise InvalidRequestError(
            f"messages[{place}] ({role}) has {'no content' if content is None else type(content).__name__}; "
            "content is a string or a list of text parts"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"messages[{place}] ({role}) is not Unicode text: a lone surrogate at {error.start}"
            ) from None
    return text


def _part(place: int, given: object) -> str:
    if isinstance(given, Mapping):
        part = cast("Mapping[str, object]", given)
        text = part.get("text")
        if part.get("type", "text") == "text" and isinstance(text, str):
            return text
        raise UnsupportedFeature(f"messages[{place}] holds a part of type {part.get('type')!r}; V3.1 reads text only")
    raise InvalidRequestError(f"messages[{place}] holds a {type(given).__name__} among its text parts")


def _without_reasoning(text: str) -> str:
    """An earlier answer without the reasoning at its head, and without the blank lines that grow with each turn."""
    if text.lstrip().startswith("<think>") and _CLOSE in text:
        text = text.partition(_CLOSE)[2]
    return text.lstrip()


def _tool_calls(place: int, given: object) -> list[object]:
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequestError(f"messages[{place}].tool_calls must be a list")
    return [_tool_call(place, call) for call in cast("Sequence[object]", given)]


def _tool_call(place: int, given: object) -> object:
    wrong = f"messages[{place}].tool_calls: each needs an 'id' and a 'function' with 'name' and 'arguments'"
    if not isinstance(given, Mapping):
        raise InvalidRequestError(wrong)
    call = cast("Mapping[str, object]", given)
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise InvalidRequestError(wrong)
    fields = dict(cast("Mapping[str, object]", function))
    if not isinstance(fields.get("name"), str) or not isinstance(call.get("id"), str):
        raise InvalidRequestError(wrong)
    arguments = fields.get("arguments", "{}")
    if not isinstance(arguments, str):
        try:
            fields["arguments"] = json.dumps(arguments, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"{wrong}; the arguments are not JSON: {error}") from None
    return {**call, "type": "function", "function": fields}


def _check_order(messages: Sequence[WireMessage]) -> None:
    spoken = [message for message in messages if message["role"] != "system"]
    if not spoken:
        raise InvalidRequestError(
            "there are no messages; ask something"
            if not messages
            else "the conversation holds instructions only; add a user message"
        )
    known: set[object] = set()
    for place, message in enumerate(messages):
        for call in cast("Sequence[Mapping[str, object]]", message.get("tool_calls") or ()):
            known.add(call["id"])
        if message["role"] == "tool" and message["tool_call_id"] not in known:
            raise InvalidRequestError(
                f"messages[{place}] is the result of the tool call {message['tool_call_id']!r}, which no earlier "
                "message made"
            )
    last = spoken[-1]
    if last["role"] == "assistant" and not last.get("prefix"):
        raise InvalidRequestError(
            "the conversation ends with an answer; add a user message, or mark the answer with 'prefix': True "
            "to have it continued"
        )
    if last["role"] == "user" and not str(last["content"]).strip():
        raise InvalidRequestError("the last user message is blank; ask something")


def _merged(messages: Sequence[WireMessage]) -> list[WireMessage]:
    out: list[WireMessage] = []
    for message in messages:
        before = out[-1] if out else None
        plain = set(message) == {"role", "content"} and message["role"] in {"user", "assistant", "system"}
        if plain and before is not None and set(before) == {"role", "content"} and before["role"] == message["role"]:
            out[-1] = {**before, "content": f"{before['content']}\n\n{message['content']}"}
        else:
            out.append(message)
    return out
