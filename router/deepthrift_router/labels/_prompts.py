"""The user's own prompts, read from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, cast

from deepthrift.errors import ConfigurationError
from deepthrift_pricing.shared.files import read_text
from deepthrift_router.evaluation import Outcome

_NAMES: Final = {
    "prompt": "query",
    "question": "query",
    "input": "query",
    "answer": "reference",
    "expected": "reference",
}
"""Other names of the fields."""


def read_prompts(path: Path) -> list[Outcome]:
    """The prompts of a JSON Lines file: each line a text, or an object with `query` (also `prompt`, `question`) or
    `messages`, and where there are any `id`, `reference` (also `answer`, `expected`), `dataset` and `category`.

    A prompt without an id has the hash of its text for one, so that it is known again.

    Raises:
        ConfigurationError: The file cannot be read, or a line is wrong or has the id of another; it names the line.
    """
    try:
        # Not splitlines: a text may hold U+2028, and JSON leaves it as it is.
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    found: dict[str, Outcome] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, line {number}"
            prompt = _prompt(line, where)
            if found.setdefault(prompt.id, prompt) != prompt:
                raise ConfigurationError(f"{where} has the id {prompt.id!r} of another prompt; give it one of its own")
    if not found:
        raise ConfigurationError(f"{path} holds no prompt")
    return list(found.values())


def _prompt(line: str, where: str) -> Outcome:
    try:
        raw: object = json.loads(line.removeprefix("\ufeff"))
    except ValueError:
        raise ConfigurationError(f"{where} is not JSON") from None
    if isinstance(raw, str):
        raw = {"query": raw}
    if not isinstance(raw, Mapping):
        raise ConfigurationError(f"{where} is neither a text nor an object")
    record = cast("Mapping[str, object]", raw)
    fields = {_NAMES.get(name, name): value for name, value in record.items() if value is not None}
    if not fields.get("query") and not fields.get("messages"):
        raise ConfigurationError(f"{where} has neither a query nor messages")
    reference = fields.get("reference")
    if reference is not None and not isinstance(reference, str):
        fields["reference"] = json.dumps(reference, ensure_ascii=False)
    text = json.dumps(fields.get("messages") or fields["query"], ensure_ascii=False)
    fields["id"] = str(fields.get("id") or blake2b(text.encode(), digest_size=8).hexdigest())
    try:
        return Outcome.model_validate(fields)
    except ValueError as error:
        raise ConfigurationError(f"{where} is no prompt: {error}") from None
