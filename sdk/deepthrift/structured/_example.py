"""An example of the JSON that a schema describes, as JSON modes want to see one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final, cast

from deepthrift._types.messages import JSONObject, JSONValue

_FORMATS: Final[Mapping[str, str]] = {
    "date": "2025-08-21",
    "date-time": "2025-08-21T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "uri": "https://example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


def example_of(schema: JSONObject) -> JSONValue:
    """The schema's own first example, or one made up from its types."""
    try:
        return _ExampleBuilder(schema).make(schema, frozenset())
    except _RecursiveTypeError:
        return {}


class _RecursiveTypeError(Exception):
    """A type needs itself inside itself."""


class _ExampleBuilder:
    def __init__(self, schema: JSONObject) -> None:
        self._definitions = cast("Mapping[str, JSONObject]", schema.get("$defs") or {})

    def make(self, node: JSONObject, inside: frozenset[str]) -> JSONValue:
        """An example of `node`, which lies inside the definitions named `inside`."""
        for key in ("examples", "enum"):
            values = node.get(key)
            if isinstance(values, Sequence) and not isinstance(values, str) and values:
                return values[0]
        if "const" in node:
            return node["const"]
        if isinstance(reference := node.get("$ref"), str):
            name = reference.rpartition("/")[2]
            if name in inside:
                raise _RecursiveTypeError
            return self.make(self._definitions.get(name, {}), inside | {name})
        for key in ("anyOf", "oneOf", "allOf"):
            if branches := cast("Sequence[JSONObject]", node.get(key) or ()):
                return self._first(branches, inside)
        return self._by_type(node, inside)

    def _first(self, branches: Sequence[JSONObject], inside: frozenset[str]) -> JSONValue:
        for branch in branches:
            with contextlib.suppress(_RecursiveTypeError):
                return self.make(branch, inside)
        raise _RecursiveTypeError

    def _by_type(self, node: JSONObject, inside: frozenset[str]) -> JSONValue:
        match node.get("type"):
            case "object":
                properties = cast("Mapping[str, JSONObject]", node.get("properties") or {})
                return {name: self.make(child, inside) for name, child in properties.items()}
            case "array":
                items = node.get("items")
                with contextlib.suppress(_RecursiveTypeError):
                    return [self.make(items, inside)] if isinstance(items, Mapping) else []
                return []
            case "integer" | "number":
                least = node.get("minimum", 1)
                return least if isinstance(least, int | float) else 1
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _FORMATS.get(str(node.get("format")), "…")
