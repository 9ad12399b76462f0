"""Prompts from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, cast

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import JSONObject, Messages
from deepthrift.batch import BatchRow
from deepthrift.batch._row import distinct_rows, parse_row
from deepthrift_pricing.shared.files import read_text

_FIELDS: Final = frozenset({"id", "messages", "mode", "prompt"})


def read_prompts(path: str | Path) -> list[BatchRow]:
    """The prompts in a JSON Lines file.

    A line is a text, `{"prompt": "…"}`, `{"messages": […]}`, each with an `id` if you like, or a row of a batch.

    Raises:
        InvalidRequestError: The file cannot be read, or a line is none of these.
    """
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{str(path)!r} cannot be read: {error}") from error
    values: list[tuple[int, object]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append((number, json.loads(line.removeprefix("\ufeff"))))
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"line {number} of {str(path)!r} is not JSON: {error}") from None
    if not values:
        raise InvalidRequestError(f"{str(path)!r} has no prompts")
    return distinct_rows(values, _row, "line", "id")


def rows_of(prompts: Iterable[BatchRow | JSONObject | str]) -> list[BatchRow]:
    """The prompts as rows.

    Raises:
        InvalidRequestError: One is none.
    """
    return distinct_rows(enumerate(prompts, 1), _row, "prompt", "id")


def _row(value: object, place: int) -> BatchRow:
    if isinstance(value, BatchRow):
        return value
    if isinstance(value, str) and value.strip():
        return BatchRow(custom_id=str(place), messages=value, line=place)
    if not isinstance(value, Mapping):
        raise InvalidRequestError("a prompt is a text or a JSON object")
    fields = cast("Mapping[str, object]", value)
    if "body" in fields:
        return parse_row(fields, place)
    if unknown := sorted(set(fields) - _FIELDS):
        raise InvalidRequestError(f"{unknown[0]!r} is not a field of a prompt; use {', '.join(sorted(_FIELDS))}")
    prompt, messages = fields.get("prompt"), fields.get("messages")
    if (prompt is None) is (messages is None):
        raise InvalidRequestError("a prompt has either prompt or messages")
    if prompt is not None and not (isinstance(prompt, str) and prompt.strip()):
        raise InvalidRequestError("prompt is a text that is not blank")
    name = fields.get("id", place)
    if not isinstance(name, str | int):
        raise InvalidRequestError("id is a text or a number")
    body = {"messages": messages if prompt is None else [{"role": "user", "content": cast("Messages", prompt)}]}
    return parse_row({"custom_id": str(name), "mode": fields.get("mode"), "body": body}, place)
