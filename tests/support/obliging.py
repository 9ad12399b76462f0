"""An endpoint that does what it is asked for: calls the tools that it is given, and fills schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.bill_server import Answer, Received

PLAIN = Answer("Hello there, how are you doing?", reasoning="A greeting wants a greeting.", cache_hit=3)


def oblige(request: Received) -> Answer:
    """A tool call where a tool may be called and nothing has been looked up yet, an object where one is wanted."""
    body: Mapping[str, Any] = request.body
    tools, choice = body.get("tools") or [], body.get("tool_choice", "auto")
    asked = request.messages[-1]["role"] == "user"
    if tools and choice != "none" and (asked or choice == "required"):
        names = [tool["function"]["name"] for tool in tools]
        forced = choice["function"]["name"] if isinstance(choice, dict) else None
        function = tools[names.index(forced) if forced else 0]["function"]
        arguments = filled(function.get("parameters") or {}, request.question)
        return PLAIN.but(text="", tool_calls=[(function["name"], json.dumps(arguments, ensure_ascii=False))])
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return PLAIN.but(text=json.dumps(filled(wanted["json_schema"]["schema"], request.question)))
    if wanted.get("type") == "json_object":
        said = " ".join(str(message.get("content")) for message in request.messages)
        keys = re.findall(r"['\"`](\w+)['\"`]", said)
        return PLAIN.but(text=json.dumps(dict.fromkeys(keys, "cats")))
    return PLAIN if asked else PLAIN.but(text=f"It says: {request.messages[-1].get('content')}")


def filled(schema: Mapping[str, Any], question: str, root: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a schema, with numbers and quoted words out of the question."""
    root = schema if root is None else root
    if "$ref" in schema:
        return filled(root["$defs"][schema["$ref"].rpartition("/")[2]], question, root)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return filled(schema[choice][0], question, root)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: filled(part, question, root) for name, part in (schema.get("properties") or {}).items()}
        case "array":
            return [filled(schema.get("items") or {}, question, root)]
        case "integer" | "number":
            return int(next(iter(re.findall(r"\d+", question)), 7))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return next(iter(re.findall(r"'([^']+)'", question)), "cats")
