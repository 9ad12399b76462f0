"""Rows are read from the OpenAI batch format, and nothing else passes for one."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import HostProfile
from deepthrift.batch._row import check_row, parse_line, row_mode
from deepthrift.errors import InvalidRequestError
from tests.sdk.batch.files import row

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["custom_id", "method", "url", "body", "mode", "tags", "n", "messages"])


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def test_a_row_becomes_a_call() -> None:
    given = row("a", "Hi", mode="thinking", tags={"team": "x"}, body={"temperature": 0.5, "seed": 1, "top_k": 4})
    found = parse_line(line(given), 7)
    assert (found.custom_id, found.mode, found.max_tokens, found.line) == ("a", "thinking", 64, 7)
    assert found.messages == [{"role": "user", "content": "Hi"}]
    assert found.options == {"temperature": 0.5, "seed": 1, "extra_body": {"top_k": 4}, "tags": {"team": "x"}}


def test_nulls_are_as_good_as_left_out() -> None:
    nulls = dict.fromkeys(["model", "temperature", "stop", "tools", "n", "stream", "max_completion_tokens"])
    found = parse_line(line(row("a", body=nulls)), 1)
    assert (found.options, found.model, found.max_tokens) == ({}, None, 64)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"custom_id": ""}, "custom_id is a text of 1 to 512 characters, not ''"),
        ({"custom_id": 3}, "custom_id"),
        ({"method": "GET"}, "method is 'POST', not 'GET'"),
        ({"url": "/v1/embeddings"}, "url is '/v1/chat/completions'"),
        ({"mode": "auto"}, "mode is 'standard' or 'thinking', not 'auto'"),
        ({"mood": "good"}, "'mood' is not a field of a row"),
        ({"tags": {"a": 1}}, "tags are pairs of strings"),
        ({"body": {"messages": []}}, "body.messages is a list"),
        ({"body": {"stream": True}}, "body.stream"),
        ({"body": {"n": 2}}, "body.n is 1"),
        ({"body": {"max_tokens": 0}}, "body.max_tokens is a whole number"),
        ({"body": {"max_completion_tokens": 65}}, "they differ"),
        ({"body": {"model": 5}}, "body.model"),
    ],
)
def test_what_is_no_row_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        parse_line(line(row(**{"custom_id": "a", **changes})), 1)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 20_000, b'"text"', b"null"])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_line(data, 1)


@given(st.dictionaries(FIELDS, JSON) | JSON)
def test_any_json_is_a_row_or_refused(value: object) -> None:
    with contextlib.suppress(InvalidRequestError):
        found = parse_line(line(value), 1)
        assert isinstance(value, dict)
        assert found.custom_id == value["custom_id"]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_row_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_line(data, 1)


def check(given: dict[str, Any], host: str = "vllm", model: str = "deepseek-ai/DeepSeek-V3.1") -> None:
    check_row(parse_line(line(given), 1), None, HostProfile.named(host), model)


def test_rows_are_checked_against_the_host() -> None:
    check(row("a", body={"model": "deepseek-ai/DeepSeek-V3.1"}))
    with pytest.raises(InvalidRequestError, match=r"body\.model is 'gpt-4o'"):
        check(row("a", body={"model": "gpt-4o"}))
    with pytest.raises(InvalidRequestError, match="temperature is a number from 0 to 2"):
        check(row("a", body={"temperature": 3}))
    with pytest.raises(InvalidRequestError, match="thinking"):
        check(row("a", mode="thinking", body={"tools": [{"type": "function", "function": {"name": "f"}}]}))


def test_the_model_may_name_the_mode() -> None:
    """Where the host tells the mode by the model's name."""
    profile = HostProfile.named("deepseek")
    assert profile.model is not None
    for name, mode in (("deepseek-reasoner", "thinking"), ("deepseek-chat", None)):
        given = row("a", body={"model": name})
        check(given, "deepseek", profile.model)
        assert row_mode(parse_line(line(given), 1), None, profile) == mode


def test_a_row_may_name_its_service_tier() -> None:
    found = parse_line(line(row("a", "Hi", body={"service_tier": "flex"})), 1)
    assert found.options == {"service_tier": "flex"}
