"""From a typed Python function to the JSON schema of its parameters, and back to typed arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import JsonSchemaValue

from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import JSONValue
from deepthrift._util.json_schema import WithoutTitles
from deepthrift.tools._docstring import read_docstring

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_STRICT: Final = ("minLength", "maxLength", "minItems", "maxItems", "default", "title")
"""Keywords that strict mode refuses (api-docs.deepseek.com, guides/tool_calls), and titles, which only cost tokens."""


def arguments_model(function: Callable[..., object], name: str) -> type[BaseModel]:
    """A pydantic model with one field for each parameter of `function`, described by its docstring.

    Raises:
        ConfigurationError: A parameter has no type, cannot be given by name, or has a type without a JSON form.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot name a tool: use 1 to 64 of the characters A-Z a-z 0-9 _ -")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigurationError(f"the types of tool {name!r} cannot be resolved: {error}") from error
    described = read_docstring(function.__doc__).parameters
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"tool {name!r}: parameter {parameter.name!r} cannot be given by name; the model names each argument"
            )
        if parameter.name not in hints:
            raise ConfigurationError(f"tool {name!r}: parameter {parameter.name!r} needs a type annotation")
        default: object = ... if parameter.default is parameter.empty else parameter.default
        about = described.get(parameter.name)
        # An alias keeps names that a pydantic model reserves for itself, such as `schema` or `model_config`.
        value = Field(default, description=about, alias=parameter.name)
        fields[f"argument_{len(fields)}"] = (hints[parameter.name], value)
    try:
        model: type[BaseModel] = create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        model.model_json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"tool {name!r} has a parameter without a JSON form: {reason}") from error
    return model


def parameters_schema(model: type[BaseModel], *, strict: bool) -> dict[str, JSONValue]:
    """The JSON schema to send. With `strict`, every property is required and no other is allowed."""
    schema = model.model_json_schema(schema_generator=WithoutTitles)
    schema.pop("title", None)
    schema.pop("description", None)
    schema.setdefault("properties", {})
    if strict:
        _make_strict(schema)
    return cast("dict[str, JSONValue]", schema)


def validate_arguments(model: type[BaseModel], text: str) -> dict[str, object]:
    """The typed arguments in a tool call's JSON text, ready for `function(**arguments)`.

    Raises:
        ValueError: The text is not JSON or does not fit; the message is meant for the model to mend its call.
    """
    try:
        # A call without parameters arrives as "" from some hosts.
        made = model.model_validate_json(text.strip() or "{}")
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in error.errors()]
        raise ValueError("; ".join(faults)) from error
    return {
        str(field.alias): getattr(made, name)
        for name, field in type(made).model_fields.items()
        if name in made.model_fields_set
    }


def _make_strict(node: JsonSchemaValue | list[Any]) -> None:
    if isinstance(node, list):
        for item in node:
            if isinstance(item, (dict, list)):
                _make_strict(cast("JsonSchemaValue", item))
        return
    # `properties` and `$defs` hold names, not keywords: a parameter may be called "title".
    for holder in ("properties", "$defs"):
        for child in node.get(holder, {}).values():
            _make_strict(child)
    for key in _NOT_STRICT:
        node.pop(key, None)
    if node.get("type") == "object" or "properties" in node:
        node["additionalProperties"] = False
        node["required"] = list(node.get("properties", {}))
    for key, child in node.items():
        if key not in ("properties", "$defs") and isinstance(child, (dict, list)):
            _make_strict(cast("JsonSchemaValue", child))
