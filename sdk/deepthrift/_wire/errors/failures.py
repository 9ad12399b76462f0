"""Errors in every shape that endpoints write them, turned into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from deepthrift._types import errors
from deepthrift._types.errors import ContextLengthExceeded, DeepthriftError, MalformedResponse, StatusError
from deepthrift._util.secrets import HIDDEN
from deepthrift._wire.errors.causes import cause_of
from deepthrift._wire.errors.words import LONGEST, Words, error_in, json_in, words_in, words_of

_TRACES: Final = ("x-ds-trace-id", "x-request-id", "request-id", "x-trace-id", "cf-ray")
_KINDS: Final[Mapping[int, tuple[type[StatusError], str]]] = {
    400: (errors.BadRequest, "The endpoint did not accept the request; change what it names"),
    401: (errors.AuthenticationFailed, "The API key is missing or wrong; pass api_key=…"),
    402: (errors.InsufficientBalance, "The provider's balance is used up; top it up, then call again"),
    403: (errors.PermissionRefused, "The API key may not do this; check its permissions, or use another key"),
    404: (errors.NotFound, "No such model or path; check the model's name and the base URL"),
    422: (errors.UnprocessableRequest, "The endpoint finds the parameters invalid; change what it names"),
    429: (errors.RateLimited, "Too many requests at once; wait, or lower max_concurrency"),
    503: (errors.Overloaded, "The endpoint is overloaded; call again later, or add another endpoint"),
}
_FAILED: Final = (errors.ServerError, "The endpoint failed; call again later, or add another endpoint")
_REFUSED: Final = (StatusError, "The endpoint refused the request; change what it names, or check the base URL")
_SECRET: Final = re.compile(r"\b(sk|pk|key|ak)-[A-Za-z0-9_*.-]{6,}|(?i:bearer)\s+[^\s\"']+")
_SHORTEST_SECRET: Final = 6
"""Shorter ones are words that guard nothing, and would be struck out of every message."""
_TOLD: Final = 300
"""Characters of the host's words in a message."""
_HARMLESS: Final = frozenset({"api-version", "version", "model", "region"})
"""Query parameters whose values may be shown."""


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
    """The message in an error body of any shape, and the status that it names, if it names one."""
    words = words_of(body)
    return words.message, words.status


def describe(value: object) -> tuple[str, int | None]:
    """The message and status in the JSON of an error."""
    words = words_in(value)
    return words.message, words.status


def status_error(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    host: str,
    secrets: Sequence[str | None] = (),
    sent: bytes = b"",
) -> DeepthriftError:
    """The typed error for an answer with an error status.

    Args:
        status: The answer's.
        body: What it says, in any shape.
        headers: The answer's.
        host: The profile's name, for the message.
        secrets: What must not be shown.
        sent: The body of the request: what the host repeats of it does not tell what went wrong.
    """
    return build(status, words_of(body), headers, host=host, secrets=secrets, sent=sent)


def error_in_answer(
    value: object, *, host: str, secrets: Sequence[str | None] = (), sent: bytes = b""
) -> tuple[DeepthriftError, bool]:
    """The typed error for one that came with status 200, in an answer's place or in the middle of a stream.

    Returns:
        The error, and whether the endpoint itself named a status; without one, its words tell, and else 500 is assumed.
    """
    words = words_in(value)
    error = _inside(words, host=host, secrets=secrets, sent=sent)
    return error, words.status is not None


def unreadable(
    body: bytes, error: MalformedResponse, *, host: str, secrets: Sequence[str | None] = (), sent: bytes = b""
) -> DeepthriftError:
    """The error for a success that is no JSON: a page or plain text, which often says what is wrong.

    Args:
        body: What came in the answer's place.
        error: What is wrong with it as an answer.
        host: The profile's name, for the message.
        secrets: What must not be shown.
        sent: The body of the request.
    """
    words = words_of(body)
    if body.lstrip()[:1] in (b"{", b"[", b'"') or not words.message:
        return error
    if b"<" not in body[:2000] and cause_of(words, None, sent) is not None:
        return _inside(words, host=host, secrets=secrets, sent=sent)
    said = without_secrets(words.message, *secrets)[:_TOLD]
    return MalformedResponse(f"{error.message}{'' if error.message[-1] in '.?' else '.'} It says: {said}")


def not_an_answer(
    body: bytes, error: MalformedResponse, *, host: str, secrets: Sequence[str | None] = (), sent: bytes = b""
) -> DeepthriftError:
    """The error for a success that is no answer of the kind that was asked for: the one inside it, or `error`."""
    value: object = json_in(body)
    if error_in(value, answered=False) is not None:
        return error_in_answer(value, host=host, secrets=secrets, sent=sent)[0]
    return unreadable(body, error, host=host, secrets=secrets, sent=sent)


def _inside(words: Words, *, host: str, secrets: Sequence[str | None], sent: bytes) -> DeepthriftError:
    status = words.status
    if status is None:
        cause = cause_of(words, None, sent)
        status = 500 if cause is None else cause.status
        return build(status, words, {}, host=host, secrets=secrets, sent=sent, how="sent an error in an answer's place")
    return build(status, words, {}, host=host, secrets=secrets, sent=sent)


def build(
    status: int,
    words: Words,
    headers: Mapping[str, str],
    *,
    host: str,
    secrets: Sequence[str | None] = (),
    sent: bytes = b"",
    how: str | None = None,
) -> DeepthriftError:
    """The typed error for a status and the endpoint's own words."""
    said = without_secrets(words.message, *secrets)[:LONGEST]
    told = f": {said[:_TOLD].rstrip('. ')}" if said else " and no explanation"
    cause = cause_of(words, status if status in _KINDS or status >= 500 else None, sent)
    if cause is not None and cause.meaning == "context":
        return ContextLengthExceeded(
            f"{host} refused the request with status {status}{told}. Shorten the conversation, or lower max_tokens"
        )
    kind, advice = _KINDS.get(status, _FAILED if status >= 500 else _REFUSED)
    if cause is not None and (cause.anywhere or (status not in _KINDS and 400 <= status < 500)):
        kind, advice = _KINDS[cause.status]
    if 300 <= status < 400:
        advice, told = _redirect(headers.get("location", ""), secrets), told if said else ""
    return kind(
        f"{advice}. {host} {how or f'answered with status {status}'}{told}",
        status=status,
        body=said,
        retry_after=retry_after(headers),
        trace_id=trace_of(headers),
    )


def _redirect(location: str, secrets: Sequence[str | None]) -> str:
    """What to do about a redirect, which is not followed: the key would go where it was not meant to."""
    if not location:
        return "The endpoint redirects and does not say where; check the base URL"
    where = without_secrets(shown_location(location), *secrets)
    base = where.partition("?")[0]
    for path in ("/chat/completions", "/completions", "/embeddings"):
        if base.endswith(path):
            base = base.removesuffix(path)
            return f"The endpoint redirects to {where}, and redirects are not followed; use {base} as the base URL"
    return f"The endpoint redirects to {where}, and redirects are not followed; set the base URL to where the API is"


def shown_location(location: str) -> str:
    """A redirect's target for people to read: without user, fragment and the values of its query."""
    location = "".join(each for each in location if each.isprintable())[:500]
    main = location.partition("#")[0]
    place, question, query = main.partition("?")
    scheme, slashes, rest = place.rpartition("//")
    host, slash, path = rest.partition("/") if slashes else ("", "", place)
    place = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}" if slashes else place
    shown: list[str] = []
    for parameter in query.split("&") if query else ():
        name, equals, _ = parameter.partition("=")
        shown.append(parameter if name.lower() in _HARMLESS else f"{name}={HIDDEN}" if equals else HIDDEN)
    return f"{place}?{'&'.join(shown)}" if question and shown else place
