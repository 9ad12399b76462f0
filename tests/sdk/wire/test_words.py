"""Errors inside a success, nested reasons, and the form in which a host's words are shown."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import errors
from deepthrift._wire.errors.failures import error_in_answer, shown_location, status_error, unreadable
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift.errors import MalformedResponse, StatusError

WORDS = "the reason in words"
INSIDE: list[Any] = [
    {"error": WORDS},
    {"error": {"message": WORDS}},
    {"error": {"message": WORDS, "code": None}, "choices": []},
    {"error": True, "message": WORDS},
    {"error_msg": WORDS, "error_code": 336003},
    {"errorMessage": WORDS},
    {"errMsg": WORDS, "errCode": 7},
    {"error_description": WORDS, "error": "invalid_scope"},
    {"msg": WORDS, "code": 1},
    {"msg": WORDS, "code": 40012, "data": None},
    {"detail": WORDS},
    {"detail": [{"loc": ["body"], "msg": WORDS, "type": "value_error", "input": "secret prompt"}]},
    {"errors": [{"message": WORDS}]},
    {"errors": [WORDS]},
    {"errors": {"message": WORDS}},
    {"message": WORDS},
    {"code": "InvalidParameter", "message": WORDS, "request_id": "r"},
    {"success": False, "message": WORDS},
    {"success": False, "errors": [{"code": 7003, "message": WORDS}], "result": None},
    {"base_resp": {"status_code": 2013, "status_msg": WORDS}, "choices": None},
    {"id": "x", "choices": [], "base_resp": {"status_code": 1000, "status_msg": WORDS}},
    {"type": "error", "error": {"type": "api_error", "message": WORDS}},
    {"object": "error", "message": WORDS},
    {"status": "error", "message": WORDS},
    {"Response": {"Error": {"Code": "FailedOperation", "Message": WORDS}, "RequestId": "r"}},
    {"title": "Refused", "detail": WORDS, "status": 400},
    {"fault": {"faultstring": WORDS}},
    {"choices": [{"index": 0, "error": {"code": 502, "message": WORDS}, "finish_reason": "error"}]},
    {"choices": [{"index": 0, "delta": {"content": ""}}], "error": {"message": WORDS}},
    {"error": json.dumps({"error": {"message": WORDS}})},
    {"message": json.dumps({"code": 5, "msg": WORDS})},
    {"error": {"message": f"litellm.BadRequestError: OpenAIException - {json.dumps({'error': {'message': WORDS}})}"}},
    {"error": {"message": f"Error code: 400 - {{'error': {{'message': '{WORDS}', 'code': None}}}}"}},
    {"error": {"message": "Provider returned error", "metadata": {"raw": WORDS, "provider_name": "Chutes"}}},
    {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": {"message": WORDS}})}}},
    {"error": {"message": "Upstream failed", "innererror": {"message": WORDS}}},
    {"status_code": 500, "reason": "x", "message": WORDS},
]

ANSWERS: list[Any] = [
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": None},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": {}},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": ""},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": False},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": {"code": 0, "message": ""}},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "code": 0, "message": "success"},
    {"choices": [{"index": 0, "delta": {"content": "a"}}], "base_resp": {"status_code": 0, "status_msg": "success"}},
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "message": "done"},
    {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "object": "", "id": "", "model": ""},
    {"choices": [{"index": 0, "delta": {"content": 'say "error" and {"error": 1}'}}]},
]


@pytest.mark.parametrize("body", INSIDE, ids=lambda body: json.dumps(body)[:70])
def test_an_error_inside_a_success_is_seen_and_quoted(body: Any) -> None:
    chunk = parse_chunk(json.dumps(body).encode())
    assert chunk.is_error
    error, _ = error_in_answer(chunk.error, host="h")
    assert isinstance(error, StatusError)
    assert WORDS in str(error)
    assert WORDS in error.body
    assert "secret prompt" not in error.body


@pytest.mark.parametrize("body", [{"code": 5, "data": None}, {"success": False}, {"error": {}}, {"error_code": 17}])
def test_an_error_without_words_is_an_error(body: Any) -> None:
    chunk = parse_chunk(json.dumps(body).encode())
    assert chunk.is_error
    assert isinstance(error_in_answer(chunk.error, host="h")[0], StatusError)


@pytest.mark.parametrize("body", ANSWERS, ids=lambda body: json.dumps(body)[:90])
def test_an_answer_is_not_taken_for_an_error(body: Any) -> None:
    assert not parse_chunk(json.dumps(body).encode()).is_error


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, errors.RateLimited),
        ({"status": "449", "msg": "You are over your rate limit"}, errors.RateLimited),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, errors.InsufficientBalance),
        ({"error": "Invalid API key"}, errors.AuthenticationFailed),
        ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, errors.Overloaded),
        ({"error": {"code": "model_not_found", "message": "no"}}, errors.NotFound),
        ({"error": {"type": "invalid_request_error", "message": "no"}}, errors.BadRequest),
        ({"code": "InvalidParameter", "message": "no"}, errors.BadRequest),
        ({"error": {"code": 402, "message": "no"}}, errors.InsufficientBalance),
        ({"error": "boom"}, errors.ServerError),
    ],
)
def test_the_words_tell_the_kind_where_no_status_does(body: Any, kind: type[StatusError]) -> None:
    assert type(error_in_answer(body, host="h")[0]) is kind


def test_the_provider_behind_a_gateway_is_named() -> None:
    body = {"error": {"message": "Provider returned error", "metadata": {"raw": WORDS, "provider_name": "Chutes"}}}
    assert f"Provider returned error: {WORDS} (from Chutes)" in str(error_in_answer(body, host="h")[0])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><title>Just a moment...</title></html>", MalformedResponse),
        (b"Service is temporarily unavailable", errors.Overloaded),
        (b"Insufficient balance", errors.InsufficientBalance),
        (b"hello", MalformedResponse),
    ],
)
def test_a_success_that_is_no_json_is_quoted(body: bytes, kind: type[Exception]) -> None:
    error = unreadable(body, MalformedResponse("not JSON"), host="h")
    assert type(error) is kind
    assert ("Just a moment" if b"<" in body else body.decode()) in str(error)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), st.integers(300, 599))
def test_the_words_are_one_line_without_control_characters(body: bytes, status: int) -> None:
    error = status_error(status, body, {}, host="h")
    assert str(error).isprintable()
    assert len(str(error)) < 1000


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "message", "code", "metadata", "raw", "errors", "Response"]), inner)
), max_leaves=15))  # fmt: skip
def test_any_json_is_read(value: Any) -> None:
    error, _ = error_in_answer(value, host="h")
    assert str(error).isprintable()
    with contextlib.suppress(MalformedResponse):
        parse_chunk(json.dumps(value).encode())


def test_a_deep_error_is_read_to_a_bound() -> None:
    deep: Any = {"message": "deepest"}
    for _ in range(300):
        deep = {"error": deep}
    assert isinstance(error_in_answer(deep, host="h")[0], StatusError)


def test_secrets_and_escapes_are_struck_out() -> None:
    body = b'{"error": {"message": "bad key my-secret-key\\n\\u001b[31mred\\u202e and sk-abcdef0123456789"}}'
    error = status_error(401, body, {}, host="h", secrets=("my-secret-key",))
    assert isinstance(error, StatusError)
    assert error.body == "bad key *** red and ***"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/api/v1/chat/completions", "/api/v1/chat/completions"),
        (
            "https://u:pw-secret@h.example/v1?api_key=k-secret&api-version=2",
            "https://h.example/v1?api_key=***&api-version=2",
        ),
        ("https://h.example/login?next=%2Fv1#access_token=t-secret", "https://h.example/login?next=***"),
        ("//h.example/v1\r\nx", "//h.example/v1x"),
        ("https://h.example/v1?k-secret", "https://h.example/v1?***"),
    ],
)
def test_a_redirect_names_its_target_and_no_secret(location: str, shown: str) -> None:
    assert shown_location(location) == shown
    error = status_error(307, b"", {"location": location}, host="h")
    assert shown in str(error)
    assert "secret" not in str(error)
    assert "base URL" in str(error)
