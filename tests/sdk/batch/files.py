"""In and out files of batches for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def row(custom_id: str, content: str = "Capital of France?", **changes: Any) -> dict[str, Any]:
    """A row in the OpenAI batch format."""
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 64, **changes.pop("body", {})}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


def write_rows(path: Path, rows: Iterable[object]) -> Path:
    """A file of them, one a line."""
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def last_lines(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of each custom_id, which counts."""
    return {line["custom_id"]: line for line in read_lines(path)}
