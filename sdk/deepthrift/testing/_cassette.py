"""A file of recorded exchanges: JSON Lines, one exchange a line, readable by its owner alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast

from deepthrift._types.errors import ConfigurationError
from deepthrift_pricing.shared.files import read_text

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what was answered, without secrets."""

    method: str
    path: str
    asked: object
    """The JSON of the request."""
    status: int
    headers: dict[str, str]
    answer: str
    complete: bool = True
    """Whether the answer came to its end."""

    def matches(self, method: str, path: str, body: object) -> bool:
        """Whether it answers this request."""
        return (self.method, self.path) == (method, path) and self.asked == body


def as_json(value: object) -> str:
    """`value` as JSON that can be encoded: halves of characters stay escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


class Cassette:
    """The file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Begin a new one; an old one is replaced.

        Raises:
            ConfigurationError: It cannot be written.
        """
        try:
            self.path.unlink(missing_ok=True)
            with os.fdopen(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(json.dumps({"deepthrift_cassette": _VERSION}) + "\n")
        except OSError as error:
            raise ConfigurationError(f"the cassette {str(self.path)!r} cannot be written: {error}") from error

    def append(self, exchange: Exchange) -> None:
        """Add an exchange."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(as_json(asdict(exchange)) + "\n")

    def read(self) -> list[Exchange]:
        """All exchanges.

        Raises:
            ConfigurationError: The file cannot be read, or is no cassette.
        """
        try:
            first, *rest = read_text(self.path).split("\n")
            head: object = json.loads(first)
            if not isinstance(head, dict) or cast("dict[str, object]", head).get("deepthrift_cassette") != _VERSION:
                raise ValueError(f"it does not begin with version {_VERSION}")
            return [Exchange(**json.loads(line)) for line in rest if line]
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{str(self.path)!r} is not a cassette that can be read: {error}") from error
