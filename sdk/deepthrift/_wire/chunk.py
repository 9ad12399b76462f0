"""The JSON of answers, typed as loosely as real endpoints write it."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from deepthrift.errors import MalformedResponse


def _text(value: object) -> object:
    """Text from a list of text parts, which some hosts send where the protocol has a string."""
    if isinstance(value, list):
        return "".join(map(_part, cast("list[object]", value)))
    return value


def _part(part: object) -> str:
    found = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else part
    return found if isinstance(found, str) else ""


def _arguments(value: object) -> object:
    """Arguments as JSON text, also from hosts that send them parsed."""
    if isinstance(value, dict | list):
        import json

        return json.dumps(value, ensure_ascii=False)
    return value


def _label(value: object) -> object:
    """A name or id as text, also where a host sends a number."""
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str | None, BeforeValidator(_text)]
Label = Annotated[str | None, BeforeValidator(_label)]


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", defer_build=True)


class FunctionPart(_Loose):
    name: str | None = None
    arguments: Annotated[str | None, BeforeValidator(_arguments)] = None


class ToolCallPart(_Loose):
    index: int | None = None
    id: Label = None
    function: FunctionPart | None = None


class Delta(_Loose):
    """A streamed fragment, or a whole message."""

    content: Text = None
    reasoning_content: Text = None
    reasoning: Text = None
    reasoning_details: list[JsonValue] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPart] | None = None


class TopLogprob(_Loose):
    token: str
    logprob: float


class Logprob(_Loose):
    token: str
    logprob: float
    top_logprobs: list[TopLogprob] | None = None


class Logprobs(_Loose):
    content: list[Logprob] | None = None


class Choice(_Loose):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Label = None
    logprobs: Logprobs | None = None


class Chunk(_Loose):
    """One event of a stream, or a whole plain answer."""

    id: Label = None
    object: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: dict[str, JsonValue] | None = None
    error: JsonValue = None
    code: JsonValue = None
    message: JsonValue = None
    detail: JsonValue = Field(default=None)

    @property
    def is_error(self) -> bool:
        """Whether this is an error in the place of an answer."""
        return self.error is not None or (
            not self.choices and self.usage is None and (self.object == "error" or self.message is not None)
        )


def parse_chunk(data: bytes) -> Chunk:
    """The chunk in `data`.

    Raises:
        MalformedResponse: It is not JSON, or not a chat chunk.
    """
    try:
        return Chunk.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MalformedResponse(
            f"the endpoint sent {len(data)} bytes that are not a chat answer: {first['msg']}"
            f"{f' at {where!r}' if where else ''}; does the base URL end where it should, such as in '/v1'?"
        ) from None
