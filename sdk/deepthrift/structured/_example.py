"""An example of the JSON that a schema describes, as JSON modes want to see one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from deepthrift._messages import JSONObject, JSONValue

_DEPTH: Final = 8
"""Recursive types have no end of their own."""
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
    definitions = cast("Mapping[str, JSONObject]", schema.get("$defs") or {})
    return _example(schema, definitions, 0)


def _example(node: JSONObject, definitions: Mapping[str, JSONObject], depth: int) -> JSONValue:
    for key in ("examples", "enum"):
        given = node.get(key)
        if isinstance(given, Sequence) and not isinstance(given, str) and given:
            return given[0]
    if "const" in node:
        return node["const"]
    if isinstance(reference := node.get("$ref"), str):
        return _deeper(definitions.get(reference.rpartition("/")[2], {}), definitions, depth)
    for key in ("anyOf", "oneOf", "allOf"):
        branches = cast("Sequence[JSONObject]", node.get(key) or ())
        if branches:
            return _deeper(branches[0], definitions, depth)
    return _by_type(node, definitions, depth)


def _deeper(node: JSONObject, definitions: Mapping[str, JSONObject], depth: int) -> JSONValue:
    return None if depth >= _DEPTH else _example(node, definitions, depth + 1)


def _by_type(node: JSONObject, definitions: Mapping[str, JSONObject], depth: int) -> JSONValue:
    match node.get("type"):
        case "object":
            properties = cast("Mapping[str, JSONObject]", node.get("properties") or {})
            return {name: _deeper(child, definitions, depth) for name, child in properties.items()}
        case "array":
            items = node.get("items")
            return [_deeper(items, definitions, depth)] if isinstance(items, Mapping) else []
        case "integer" | "number":
            least = node.get("minimum", 1)
            return least if isinstance(least, int | float) else 1
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _FORMATS.get(str(node.get("format")), "…")
