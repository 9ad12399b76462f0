"""The type that an answer has to have: how the model is told, and how its text is read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import from_json

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import JSONObject, JSONValue, Message, Messages, UserMessage, message_list
from deepthrift._util.json_schema import WithoutTitles
from deepthrift.hosts import Feature
from deepthrift.structured._example import example_of

M = TypeVar("M")

_FENCE: Final = re.compile(r"```\w*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_FAULTS: Final = 8
"""The most faults that are told at once."""


class SchemaMismatch(ValueError):
    """The text is not the object that was asked for; the message is meant for the model to mend it."""


class Target(Generic[M]):
    """What an answer has to be.

    Raises:
        InvalidRequestError: The type has no JSON form, or one that is no object.
    """

    def __init__(self, into: type[M]) -> None:
        self.name = getattr(into, "__name__", str(into))
        try:
            self._adapter: TypeAdapter[M] = TypeAdapter(into)
            schema = self._adapter.json_schema(schema_generator=WithoutTitles)
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidRequestError(f"{self.name} cannot be asked for as JSON: {reason}") from error
        schema.pop("title", None)
        self.schema = cast("dict[str, JSONValue]", schema)
        if _kind(self.schema) != "object":
            raise InvalidRequestError(
                f"{self.name} is no JSON object; put it into a field of a pydantic model and ask for that"
            )

    def ask(
        self, messages: Messages, features: Collection[Feature], *, further: str = ""
    ) -> tuple[list[Message], JSONObject | None]:
        """The conversation with the rule at its end, and the best `response_format` among `features`."""
        rule = (
            "Answer in json: one JSON object and nothing else. It has to fit this JSON schema:\n"
            f"{_compact(self.schema)}\n"
            "An example of its form; the values are made up:\n"
            f"{_compact(example_of(self.schema))}{further}"
        )
        return _with_rule(messages, rule), self._format(features)

    def _format(self, features: Collection[Feature]) -> JSONObject | None:
        if "json_schema" in features:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", self.name)[:64]
            return {"type": "json_schema", "json_schema": {"name": name, "schema": self.schema}}
        return {"type": "json_object"} if "json_object" in features else None

    def read(self, text: str) -> M:
        """The object in an answer's text; a code fence or a sentence around it does no harm.

        Raises:
            SchemaMismatch: There is none, or it does not fit.
        """
        reason = "it is blank"
        for place, candidate in enumerate(_candidates(text)):
            try:
                found = from_json(candidate)
            except ValueError as error:
                reason = f"it is not JSON: {error}" if place == 0 else reason
                continue
            if not isinstance(found, dict):
                reason = "it is JSON, but no object" if place == 0 else reason
                continue
            try:
                return self._adapter.validate_json(candidate)
            except ValidationError as error:
                raise SchemaMismatch(_told(error)) from error
        raise SchemaMismatch(reason)


def _candidates(text: str) -> Iterator[str]:
    """Where the JSON may be, the likeliest place first."""
    text = text.strip().lstrip("\ufeff")
    if text:
        yield text
    for fenced in _FENCE.finditer(text):
        yield fenced[1].strip()
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield text[start : end + 1]


def _told(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, item['loc'])) or 'the object'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f"; and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
    return "; ".join(faults[:_FAULTS]) + more


def _kind(schema: JSONObject) -> JSONValue:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        held = cast("Mapping[str, JSONObject]", schema.get("$defs") or {})
        return held.get(reference.rpartition("/")[2], {}).get("type")
    return schema.get("type")


def _with_rule(messages: Messages, rule: str) -> list[Message]:
    """At the end, so that the prefix of the conversation stays what it was for the host's cache."""
    out = message_list(messages)
    last = out[-1] if out else None
    if last is None or not isinstance(last, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return out  # the client says what is wrong with it
    if last.get("role") == "user":
        content = cast("UserMessage", last).get("content")
        if isinstance(content, str):
            out[-1] = {**cast("UserMessage", last), "content": f"{content}\n\n{rule}"}
        elif isinstance(content, list):
            out[-1] = {**cast("UserMessage", last), "content": [*content, {"type": "text", "text": rule}]}
    else:
        out.append({"role": "user", "content": rule})
    return out


def _compact(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
