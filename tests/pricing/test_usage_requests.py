"""Requests that a provider bills by themselves, in the words of several providers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Usage, parse_usage

COUNTS = {"prompt_tokens": 10, "completion_tokens": 1}


@pytest.mark.parametrize(
    ("raw", "requests"),
    [
        ({"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}, {"search": 2, "fetch": 1}),
        ({"server_tool_use": {"deepseek_web_search": 3, "deepseek_read_url": {"count": 1}}}, {"search": 3, "fetch": 1}),
        ({"server_tool_use": {"web_search_requests": 0}}, {"search": 0}),
        ({"num_search_queries": 4}, {"search": 4}),
        ({"server_tool_use": None}, {}),
        ({"server_tool_use": {"ephemeral_5m_input_tokens": 9}}, {}),
        ({}, {}),
    ],
)
def test_counts_are_read_by_kind(raw: dict[str, object], requests: dict[str, int]) -> None:
    usage = parse_usage({**COUNTS, **raw})
    assert usage is not None
    assert (usage.requests, usage.certainty) == (requests, "exact")


@pytest.mark.parametrize("count", ["two", -1, 1.5, True, 10**7, [1]])
def test_what_is_no_count_is_noted(count: object) -> None:
    usage = parse_usage({**COUNTS, "server_tool_use": {"web_search_requests": count}})
    assert usage is not None
    assert (dict(usage.requests), usage.certainty) == ({}, "estimated")
    assert "is not a count of requests" in usage.notes[0]


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_anything_in_its_place_is_survived(value: object) -> None:
    assert parse_usage({**COUNTS, "server_tool_use": value, "tool_usage": value, "server_tools": value}) is not None


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"cache_creation_input_tokens": 7}, 7),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, 3),
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 99}}, 6),  # no more than were missed
        ({"prompt_tokens_details": {"cached_tokens": 4}}, None),
    ],
)
def test_tokens_written_to_the_cache_are_read(details: dict[str, object], written: int | None) -> None:
    usage = parse_usage({**COUNTS, **details})
    assert usage is not None
    assert usage.cache_write_tokens == written


def test_other_media_are_never_exact() -> None:
    usage = parse_usage({**COUNTS, "prompt_tokens_details": {"audio_tokens": 5, "image_tokens": 0}})
    assert usage is not None
    assert usage.certainty == "estimated"
    assert usage.notes == ("5 tokens of the prompt are audio; they are billed at the price of text here",)


def test_sums_keep_what_is_known() -> None:
    one, two = (
        Usage.of(10, 1, cache_write=4, requests={"search": 2}),
        Usage.of(5, 1, requests={"search": 1, "fetch": 1}),
    )
    total = one + two
    assert total.requests == {"search": 3, "fetch": 1}
    assert total.cache_write_tokens is None
    assert (one + Usage.of(0, 3)).cache_write_tokens == 4
