"""Events that only keep a connection alive, in the forms in which gateways send them."""

from __future__ import annotations

import json
import re
from typing import Final, cast

SPEAKING: Final = (b'"choices"', b'"error"', b'"usage"')
"""Every chunk of an answer and nearly every error has one of these names, and heartbeats hardly ever do."""
_LONGEST: Final = 2048
"""Bytes: heartbeats are short."""
_NAME: Final = re.compile(
    r"(sse|stream|server|session|connection|response|chat|message)?[-_. :]*"
    r"(ping|pong|(heart[-_ ]?beat)|(keep[-_ ]?(a)?live)|noop|no[-_]op|hello|connected|open(ed)?|start(ed)?|init|"
    r"progress|in[-_ ]progress|pending|processing|queue(d|_position|ing)?|waiting|retry|comment|empty|ok|alive|ack)"
    r"[-_. :]*(event|message|frame|comment)?",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(
    r"[\W_]*((openrouter|gateway|server|proxy)?[\W_]*" + _NAME.pattern + r")?[\W_]*", re.IGNORECASE
)
_LABELS: Final = ("type", "event", "object", "status", "kind", "op")
_ABOUT: Final = frozenset(
    {
        *_LABELS, "created", "created_at", "cost", "elapsed", "eta", "id", "index", "model", "position", "provider",
        "request_id", "retry", "seq", "sequence", "sequence_number", "service_tier", "system_fingerprint", "time",
        "timestamp", "trace_id", "ts",
    }
)  # fmt: skip
"""Fields that describe an event and say nothing."""


def is_heartbeat_name(name: bytes) -> bool:
    """Whether an event of this name (its `event:` field) only keeps the connection alive."""
    return _NAME.fullmatch(name.decode("utf-8", "replace").strip()) is not None


def is_heartbeat(data: bytes) -> bool:
    """Whether the data of an event says nothing: blank or null values, or an object that only names itself a ping."""
    if len(data) > _LONGEST or any(name in data for name in SPEAKING):
        return False
    text = data.decode("utf-8", "replace").strip().strip("\ufeff")
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return _WORDS.fullmatch(text) is not None
    return _says_nothing(value)


def is_end_mark(data: bytes) -> bool:
    """Whether the data of an event is the end mark `[DONE]`, however it is written."""
    return len(data) < 20 and data.strip().strip(b"\"'[]() ").upper() == b"DONE"


def _says_nothing(value: object) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return True
    if isinstance(value, str):
        return _WORDS.fullmatch(value) is not None
    if isinstance(value, list):
        return all(map(_says_nothing, cast("list[object]", value)))
    fields = cast("dict[str, object]", value)
    if _failed(fields):
        return False
    names = [fields[label] for label in _LABELS if isinstance(fields.get(label), str)]
    if any(_NAME.fullmatch(cast("str", name)) for name in names):
        return True
    return all(each is None or each in ("", [], {}) for name, each in fields.items() if name not in _ABOUT) and (
        "error" not in names
    )


def _failed(fields: dict[str, object]) -> bool:
    """Whether it has the number of an HTTP error."""
    codes = [fields.get(name) for name in ("code", "status", "status_code")]
    return any(isinstance(code, int) and not isinstance(code, bool) and code >= 400 for code in codes)
