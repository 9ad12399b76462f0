"""A Python function that the model may call."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel
from pydantic_core import to_json

from deepthrift._types.messages import JSONValue
from deepthrift._util.threads import in_thread
from deepthrift.tools._docstring import read_docstring
from deepthrift.tools._schema import arguments_model, parameters_schema, validate_arguments


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with its name, description and JSON schema, as the model sees them."""

    name: str
    description: str
    parameters: Mapping[str, JSONValue]
    """The JSON schema of the arguments."""
    function: Callable[..., object]
    strict: bool
    _arguments: type[BaseModel]

    @classmethod
    def of(
        cls,
        function: Callable[..., object] | Tool,
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool = False,
    ) -> Tool:
        """The tool that a typed function makes; parameters are described by its docstring.

        Args:
            function: A function or an async function. Every parameter needs a type and must be nameable.
            name: Another name for the model, instead of the function's own.
            description: Another description, instead of the docstring's text before its sections.
            strict: Ask for strict mode, where a host offers it: the arguments then always fit the schema.

        Raises:
            ConfigurationError: The name or a parameter cannot be sent; the message says which.
        """
        if isinstance(function, Tool):
            return function
        own: str = name or getattr(function, "__name__", "") or type(function).__name__
        model = arguments_model(function, own)
        return cls(
            name=own,
            description=read_docstring(function.__doc__).summary if description is None else description,
            parameters=parameters_schema(model, strict=strict),
            function=function,
            strict=strict,
            _arguments=model,
        )

    @property
    def definition(self) -> dict[str, JSONValue]:
        """The entry for the request's `tools`, in the OpenAI shape."""
        function: dict[str, JSONValue] = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        if self.strict:
            function["strict"] = True
        return {"type": "function", "function": function}

    async def call(self, arguments: str) -> str:
        """Run the function with a tool call's JSON text and return its result as text for the model.

        A synchronous function runs in a thread, so that it does not hold up the event loop.

        Raises:
            ValueError: The arguments are not JSON or do not fit; the message is meant for the model.
            Exception: Whatever the function raises.
        """
        return await self.run(self.typed(arguments))

    def typed(self, arguments: str) -> dict[str, object]:
        """The function's keyword arguments in a tool call's JSON text.

        Raises:
            ValueError: They are not JSON or do not fit; the message is meant for the model.
        """
        return validate_arguments(self._arguments, arguments)

    async def run(self, arguments: Mapping[str, object]) -> str:
        """Run the function with typed arguments and return its result as text for the model.

        Raises:
            Exception: Whatever the function raises.
        """
        if inspect.iscoroutinefunction(self.function):
            return as_text(await self.function(**arguments))
        result = await in_thread(self.function, arguments)
        # A callable object or a partial may hide an async function.
        return as_text(await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result)


def as_text(result: object) -> str:
    """What the model gets to read: text as it is, anything else as JSON, else its `str()`."""
    return _text(result).encode("utf-8", "replace").decode()


def _text(result: object) -> str:
    if isinstance(result, str):
        return result
    try:
        return to_json(result).decode()
    except ValueError:
        return json.dumps(str(result), ensure_ascii=False)
