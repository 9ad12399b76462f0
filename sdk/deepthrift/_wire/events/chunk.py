"""The JSON of answers, typed as endpoints document it, and mended where they write it otherwise."""

from __future__ import annotations

import json
from typing import cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from deepthrift._types.errors import MalformedResponse
from deepthrift._wire.errors.words import error_in, json_in
from deepthrift._wire.events.large import LARGE, load_json


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)


class FunctionPart(_Loose):
    name: str | None = None
    arguments: str | None = None


class ToolCallPart(_Loose):
    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None
    name: str | None = None
    """Where some hosts put the function's name and arguments."""
    arguments: str | None = None


class Delta(_Loose):
    """A streamed fragment, or a whole message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[JsonValue] | None = None
    tool_calls: list[ToolCallPart] | None = None
    function_call: FunctionPart | None = None
    """The older form, of one call without an id."""
    annotations: JsonValue = None
    """Citations, where the host's own tools searched the web."""

    @property
    def calls(self) -> list[ToolCallPart]:
        """The tool calls, or the parts of them."""
        if self.tool_calls or self.function_call is None:
            return self.tool_calls or []
        return [ToolCallPart(function=self.function_call)]


class Choice(_Loose):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    """What a completion of plain text says, in place of a delta or message."""
    finish_reason: str | None = None
    logprobs: object = None
    """As it came; `LogprobReader` reads it."""
    usage: JsonValue = None
    """Where Moonshot puts the usage of a stream."""


class Chunk(_Loose):
    """One event of a stream, or a whole plain answer."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    system_fingerprint: JsonValue = None
    service_tier: JsonValue = None
    """The service tier that serves the request, where the host says so."""
    choices: list[Choice] | None = None
    usage: dict[str, JsonValue] | None = None
    x_groq: JsonValue = None
    """Where Groq puts the usage of a stream."""
    prompt_eval_count: JsonValue = None
    eval_count: JsonValue = None
    tokens_evaluated: JsonValue = None
    tokens_predicted: JsonValue = None
    error: JsonValue = None
    """All of what was sent, if it is an error."""

    @property
    def is_error(self) -> bool:
        """Whether this is an error in the place of an answer."""
        return self.error is not None


def parse_chunk(data: bytes) -> Chunk:
    """The chunk in `data`.

    Raises:
        MalformedResponse: It is not JSON, or not a chat chunk.
    """
    chunk = _parsed(data)
    if chunk.choices and b'"error"' not in data and b'"Error"' not in data:
        return chunk
    answered = bool(chunk.choices) or chunk.usage is not None
    error = error_in(json_in(data), answered=answered)
    return chunk if error is None and chunk.error is None else chunk.model_copy(update={"error": error})


def _parsed(data: bytes) -> Chunk:
    value: object = None
    try:
        if len(data) < LARGE:
            return Chunk.model_validate_json(data)
    except ValidationError:
        pass
    try:  # rare, so it may take its time: what hosts are known to write otherwise is mended first
        value = load_json(data)
        return Chunk.model_validate(_mended(value))
    except ValidationError as error:
        if (wrong := error_in(value, answered=False)) is not None:
            return Chunk.model_construct(error=wrong)
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        told = f"{first['msg']} at {'.'.join(map(str, first['loc'])) or 'the top'!r}"
    except (ValueError, RecursionError):
        told = "not JSON"
    raise MalformedResponse(
        f"the endpoint sent {len(data)} bytes that are not a chat answer ({told}); does the base URL end where it "
        "should, such as in '/v1'?"
    )


def _mended(value: object) -> object:
    """A chunk with its texts, labels and arguments as text, where some hosts have lists, numbers and objects."""
    if not isinstance(value, dict):
        return value
    chunk = cast("dict[str, object]", value)
    mended = {**chunk, "id": _label(chunk.get("id")), "model": _label(chunk.get("model"))}
    if not isinstance(chunk.get("usage"), dict):
        mended["usage"] = None  # no reason to lose the answer
    if isinstance(choices := chunk.get("choices"), list):
        mended["choices"] = [_choice(choice) for choice in cast("list[object]", choices)]
    return mended


def _choice(value: object) -> object:
    if not isinstance(value, dict):
        return value
    choice = cast("dict[str, object]", value)
    mended = {**choice, "finish_reason": _label(choice.get("finish_reason"))}
    if choice.get("index") is None:
        mended.pop("index", None)
    for name in ("delta", "message"):
        if isinstance(held := choice.get(name), dict):
            mended[name] = _message(cast("dict[str, object]", held))
    return mended


def _message(message: dict[str, object]) -> object:
    mended = dict(message)
    for name in ("content", "reasoning_content", "reasoning"):
        if isinstance(held := message.get(name), list):
            mended[name] = "".join(map(_part, cast("list[object]", held)))
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        calls = cast("list[object]", [calls])
    if isinstance(calls, list):
        mended["tool_calls"] = [
            _call(cast("dict[str, object]", call)) for call in cast("list[object]", calls) if isinstance(call, dict)
        ]
    if isinstance(held := message.get("function_call"), dict):
        mended["function_call"] = _function(cast("dict[str, object]", held))
    return mended


def _part(part: object) -> str:
    found = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else part
    return found if isinstance(found, str) else ""


def _call(value: dict[str, object]) -> object:
    mended = {**_function(value), "id": _label(value.get("id"))}
    if not isinstance(value.get("index"), int):
        mended.pop("index", None)
    if isinstance(held := value.get("function"), dict):
        mended["function"] = _function(cast("dict[str, object]", held))
    return mended


def _function(function: dict[str, object]) -> dict[str, object]:
    arguments = function.get("arguments")
    if arguments is None or isinstance(arguments, str):
        return function
    return {**function, "arguments": json.dumps(arguments, ensure_ascii=False)}


def _label(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value
