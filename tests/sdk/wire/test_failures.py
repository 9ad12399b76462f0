"""Errors in every shape, turned into ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import errors
from deepthrift._wire.errors.failures import error_in_answer, error_text, retry_after, status_error, without_secrets

SHAPES: list[tuple[Any, str, int | None]] = [
    ({"error": {"message": "no", "type": "x", "param": None, "code": "invalid_request_error"}}, "no", None),
    ({"error": {"code": 429, "message": "no", "metadata": {}}}, "no", 429),
    ({"error": "no"}, "no", None),
    ({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, "no", 400),
    ({"code": 20024, "message": "no", "data": None}, "no", None),
    ({"detail": "no"}, "no", None),
    ({"detail": [{"loc": ["body"], "msg": "no"}, {"msg": "never"}]}, "no; never", None),
    ({"errors": [{"message": "no"}]}, "no", None),
    ({"msg": "no", "status": "503"}, "no", 503),
    ("no", "no", None),
    (["no", {"message": "never"}], "no; never", None),
    ({"error": {"message": ""}}, '{"message": ""}', None),
]


@pytest.mark.parametrize(("body", "message", "code"), SHAPES)
def test_the_message_is_found(body: Any, message: str, code: int | None) -> None:
    assert error_text(json.dumps(body).encode()) == (message, code)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"no\n", "no"),
        (b"<html><head><style>b{}</style></head><h1>502</h1>Bad  gateway</html>", "502 Bad gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"{", "{"),
    ],
)
def test_what_is_not_json_is_read_too(body: bytes, message: str) -> None:
    assert error_text(body) == (message, None)


@given(st.binary(max_size=300), st.integers(300, 599))
def test_any_body_makes_a_typed_error(body: bytes, status: int) -> None:
    error = status_error(status, body, {}, host="h")
    assert isinstance(error, errors.StatusError | errors.ContextLengthExceeded)
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.AuthenticationFailed),
        (402, errors.InsufficientBalance),
        (403, errors.PermissionRefused),
        (404, errors.NotFound),
        (418, errors.StatusError),
        (422, errors.UnprocessableRequest),
        (429, errors.RateLimited),
        (500, errors.ServerError),
        (503, errors.Overloaded),
        (529, errors.ServerError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[errors.StatusError]) -> None:
    error = status_error(status, b'{"error":"no"}', {"x-ds-trace-id": "t-1"}, host="h")
    assert type(error) is kind
    assert (error.status, error.body, error.trace_id) == (status, "no", "t-1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 400, "message": "the request exceeds the available context size", "n_ctx": 4096}},
        {"error": {"message": "too long", "type": "exceed_context_size_error"}},
        {"error": {"message": "This model's maximum context length is 131072 tokens."}},
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
    ],
)
def test_a_context_that_is_too_small_is_told_apart(body: Any) -> None:
    error = status_error(400, json.dumps(body).encode(), {}, host="h")
    assert isinstance(error, errors.ContextLengthExceeded)
    assert "max_tokens" in str(error)


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        ({"code": 429, "message": "slow"}, errors.RateLimited, True),
        ({"message": "Rate limit reached"}, errors.RateLimited, False),
        ({"message": "Insufficient Balance"}, errors.InsufficientBalance, False),
        ({"message": "boom"}, errors.ServerError, False),
        ("boom", errors.ServerError, False),
    ],
)
def test_an_error_inside_a_success(value: Any, kind: type[Exception], told: bool) -> None:
    error, named = error_in_answer(value, host="h")
    assert type(error) is kind
    assert named is told


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ],
)
def test_retry_after_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date() -> None:
    later = retry_after({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)})
    assert later is not None
    assert 50 < later <= 60
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-abcdef0123456789.",
        "Authorization: Bearer abc.def-ghi",
        "your key my-own-secret is wrong",
        "sk-ab****************************6789",
    ],
)
def test_secrets_are_struck_out(text: str) -> None:
    shown = without_secrets(text, "my-own-secret", None, "key")
    assert "***" in shown
    for secret in ("abcdef0123456789", "abc.def-ghi", "my-own-secret", "6789"):
        assert secret not in shown


def test_words_are_not_secrets() -> None:
    assert without_secrets("wrong key", "key") == "wrong key"
