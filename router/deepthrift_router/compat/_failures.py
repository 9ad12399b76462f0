"""Our errors as openai's, where it has one for them."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx
import openai

from deepthrift.errors import (
    APIError,
    AttemptTimeout,
    ContextLengthExceeded,
    DeadlineExceeded,
    DeepthriftError,
    EngineError,
    InvalidRequestError,
    ResponseError,
    StatusError,
    StreamInterrupted,
)

_OURS = "deepthrift.error"
"""Where a response carries the error that it stands for."""


def failed(error: DeepthriftError, request: httpx.Request) -> httpx.Response:
    """The response that stands for an error: openai's client raises `as_openai` of it, and sends nothing again."""
    headers = {"x-should-retry": "false"}
    if isinstance(error, StatusError):
        if error.trace_id is not None:
            headers["x-request-id"] = error.trace_id
        if error.retry_after is not None:
            headers["retry-after"] = f"{error.retry_after:g}"
    code = _code(error)
    told: dict[str, object] = {
        "message": error.message,
        "type": type(error).__name__,
        "code": code,
        "param": None,
        "deepthrift": {
            "attempt_ids": error.attempt_ids,
            "spend": None if error.spend is None else str(error.spend),
        },
    }
    content = json.dumps({"error": told}).encode()
    return httpx.Response(
        _status(error) or 500, headers=headers, content=content, request=request, extensions={_OURS: error}
    )


def standing_for(response: object) -> DeepthriftError | None:
    """The error that a response stands for."""
    return cast("DeepthriftError | None", cast("httpx.Response", response).extensions.get(_OURS))


def as_openai(error: DeepthriftError, request: object, usual: openai.APIError) -> Exception:
    """What is raised for an error: openai's, or the error itself where openai has none.

    `usual` is what openai makes of the status, or of an error inside a stream.
    """
    if _status(error) is not None:
        return usual
    sent = cast("Any", request)  # httpx's, and openai's type is that of its own copy of httpx
    if isinstance(error, AttemptTimeout | DeadlineExceeded):
        return openai.APITimeoutError(request=sent)
    if isinstance(error, APIError | StreamInterrupted | EngineError):
        return openai.APIConnectionError(message=error.message, request=sent)
    return error


def _status(error: DeepthriftError) -> int | None:
    if isinstance(error, StatusError):
        return error.status
    if isinstance(error, InvalidRequestError):
        return 400
    return 502 if isinstance(error, ResponseError) and not isinstance(error, StreamInterrupted) else None


def _code(error: DeepthriftError) -> str | None:
    return "context_length_exceeded" if isinstance(error, ContextLengthExceeded) else None
