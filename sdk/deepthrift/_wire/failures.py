"""Errors in every shape that endpoints write them, turned into ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, cast

from deepthrift import errors
from deepthrift._wire.halves import whole
from deepthrift.errors import ContextLengthExceeded, DeepthriftError, StatusError

_TRACES: Final = ("x-ds-trace-id", "x-request-id", "request-id", "x-trace-id", "cf-ray")
_KINDS: Final[Mapping[int, tuple[type[StatusError], str]]] = {
    400: (errors.BadRequest, "The endpoint did not accept the request"),
    401: (errors.AuthenticationFailed, "The API key is missing or wrong; pass api_key=…"),
    402: (errors.InsufficientBalance, "The provider's balance is used up; top it up, then call again"),
    403: (errors.PermissionRefused, "The API key may not do this"),
    404: (errors.NotFound, "No such model or path; check the model's name and the base URL"),
    422: (errors.UnprocessableRequest, "The endpoint finds the parameters invalid"),
    429: (errors.RateLimited, "Too many requests at once"),
    503: (errors.Overloaded, "The endpoint is overloaded"),
}
_CONTEXT: Final = re.compile(
    r"exceed_context_size|context_length_exceeded|maximum context length|exceeds the (available )?context|"
    r"longer than the (model'?s )?context|tokens\) is too large to process",
    re.IGNORECASE,
)
_SECRET: Final = re.compile(r"\b(sk|pk|key|ak)-[A-Za-z0-9_*.-]{6,}|(?i:bearer)\s+[^\s\"']+")
_LONGEST: Final = 65_536
"""Characters of a message that are read."""
_SHORTEST_SECRET: Final = 6
"""Shorter ones are words that guard nothing, and would be struck out of every message."""
_NUMBERED: Final = {"insufficient balance": 402, "rate limit": 429, "too many requests": 429, "overloaded": 503}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` (or the finer `retry-after-ms`) asks to wait; `None` when it says nothing usable."""
    fine = headers.get("retry-after-ms")
    try:
        if fine is not None:
            return max(0.0, float(fine) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            seconds = float(value)
        except ValueError:
            when = parsedate_to_datetime(value)
            when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
            seconds = (when - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def trace_of(headers: Mapping[str, str]) -> str | None:
    """The endpoint's own id of the request."""
    return next((headers[name] for name in _TRACES if name in headers), None)


def without_secrets(text: str, *secrets: str | None) -> str:
    """`text` without `secrets`, and without anything else that looks like a key."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)


def error_text(body: bytes) -> tuple[str, int | None]:
    """The message in an error body of any shape, and the numeric code beside it, if there is one."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return _plain(text), None
    try:
        return describe(value) if value else ("", None)
    except RecursionError:
        return _plain(text), None


def describe(value: object) -> tuple[str, int | None]:
    """The message and numeric code in the JSON of an error."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, Sequence):
        parts = [describe(item)[0] for item in cast("Sequence[object]", value)]
        return "; ".join(part for part in parts if part), None
    if not isinstance(value, Mapping):
        return str(value), None
    data = cast("Mapping[str, object]", value)
    inner = data.get("error")
    if inner is not None and not isinstance(inner, bool):
        message, code = describe(inner)
        return message, code if code is not None else _code(data)
    for name in ("message", "msg", "detail", "error_msg", "errors"):
        found = data.get(name)
        if found:
            message = describe(found)[0]
            kind = data.get("type") or data.get("code")
            known = isinstance(kind, str) and kind not in message and _CONTEXT.search(kind)
            return (f"{message} ({kind})" if known else message), _code(data)
    return json.dumps(data, ensure_ascii=False)[:2000], _code(data)


def _code(data: Mapping[str, object]) -> int | None:
    for name in ("status", "status_code", "code"):
        value = data.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    return None


def _plain(text: str) -> str:
    """Readable words of a page or a plain text."""
    if "<" in text:  # both patterns take one pass, whatever is never closed
        text = re.sub(r"(?is)<(script|style)\b.*?(?:</\1>|\Z)", " ", text)
        text = re.sub(r"<[^<>]*>", " ", text)
    return " ".join(text.split())[:2000]


def status_error(
    status: int, body: bytes, headers: Mapping[str, str], *, host: str, secrets: Sequence[str | None] = ()
) -> DeepthriftError:
    """The typed error for an answer with an error status."""
    message, _ = error_text(body)
    return build(status, message, headers, host=host, secrets=secrets)


def error_in_answer(value: object, *, host: str, secrets: Sequence[str | None] = ()) -> tuple[DeepthriftError, bool]:
    """The typed error for one that came with status 200, in an answer's place or in the middle of a stream.

    Returns:
        The error, and whether the endpoint itself named a status; without one, 500 is assumed.
    """
    message, code = describe(value)
    message = message[:_LONGEST]
    if code is not None:
        return build(code, message, {}, host=host, secrets=secrets), True
    lowered = message.lower()
    guess = next((status for words, status in _NUMBERED.items() if words in lowered), 500)
    return build(guess, message, {}, host=host, secrets=secrets), False


def build(
    status: int, message: str, headers: Mapping[str, str], *, host: str, secrets: Sequence[str | None] = ()
) -> DeepthriftError:
    """The typed error for a status and the endpoint's own words."""
    message = whole(message[:_LONGEST])
    said = without_secrets(message, *secrets)[:2000]
    told = f": {said[:300]}" if said else " and no explanation"
    if status in {400, 413, 422, 500} and _CONTEXT.search(message):
        return ContextLengthExceeded(
            f"{host} refused the request with status {status}{told}. Shorten the conversation, or lower max_tokens"
        )
    kind, advice = _KINDS.get(
        status,
        (errors.ServerError, "The endpoint failed") if status >= 500 else (StatusError, "The endpoint refused"),
    )
    wait = retry_after(headers)
    return kind(
        f"{advice}. {host} answered with status {status}{told}",
        status=status,
        body=said,
        retry_after=wait,
        trace_id=trace_of(headers),
    )
