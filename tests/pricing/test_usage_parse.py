"""Every shape of usage gives the same sums, and garbage gives a clear note instead of a wrong bill."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Usage, parse_usage

SHAPES: dict[str, tuple[dict[str, Any], Usage]] = {
    "DeepSeek, in full": (
        {
            "prompt_tokens": 130,
            "completion_tokens": 412,
            "total_tokens": 542,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 300},
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 66,
        },
        Usage.of(130, 412, cache_hit=64, reasoning=300),
    ),
    "DeepSeek, as documented": (
        {
            "prompt_tokens": 130,
            "completion_tokens": 12,
            "total_tokens": 142,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 66,
        },
        Usage.of(130, 12, cache_hit=64),
    ),
    "hits without misses": (
        {"prompt_tokens": 130, "completion_tokens": 1, "prompt_cache_hit_tokens": 64},
        Usage.of(130, 1, cache_hit=64),
    ),
    "misses without hits": (
        {"prompt_tokens": 130, "completion_tokens": 1, "prompt_cache_miss_tokens": 66},
        Usage.of(130, 1, cache_hit=64),
    ),
    "hits and misses without their sum": (
        {"completion_tokens": 1, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 66},
        Usage.of(130, 1, cache_hit=64),
    ),
    "OpenAI": (
        {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 16}},
        Usage.of(20, 5, cache_hit=16),
    ),
    "vLLM without prompt details": (
        {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25, "prompt_tokens_details": None},
        Usage.of(20, 5),
    ),
    "SGLang": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 50,
            "total_tokens": 70,
            "reasoning_tokens": 40,
            "prompt_tokens_details": None,
        },
        Usage.of(20, 50, reasoning=40),
    ),
    "Ollama, native": (
        {"prompt_eval_count": 26, "eval_count": 290, "total_duration": 10706818083, "done": True},
        Usage.of(26, 290),
    ),
    "llama.cpp, native": ({"tokens_evaluated": 26, "tokens_predicted": 29}, Usage.of(26, 29)),
    "Responses": (
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 64},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 20},
        },
        Usage.of(100, 30, cache_hit=64, reasoning=20),
    ),
    "Anthropic": (
        {"input_tokens": 36, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 10, "output_tokens": 3},
        Usage.of(110, 3, cache_hit=64, cache_write=10),
    ),
    "whole numbers written as 12.0": ({"prompt_tokens": 12.0, "completion_tokens": 3.0}, Usage.of(12, 3)),
    "explicit zeros": (
        {"prompt_tokens": 0, "completion_tokens": 0, "prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 0},
        Usage.of(0, 0),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_understood_exactly(shape: str) -> None:
    raw, usage = SHAPES[shape]
    assert parse_usage(raw) == usage


@pytest.mark.parametrize("raw", [None, {}, {"cost": 0.1}, {"prompt_tokens": None}, {"usage": {"prompt_tokens": 1}}])
def test_absent_usage_is_unknown_and_never_zero(raw: dict[str, Any] | None) -> None:
    assert parse_usage(raw) is None


REPAIRED: dict[str, tuple[dict[str, Any], tuple[int, int, int, int]]] = {
    # raw, (prompt, hit, completion, reasoning)
    "hit and miss do not add up": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_cache_hit_tokens": 90,
            "prompt_cache_miss_tokens": 66,
        },
        (100, 34, 5, 0),
    ),
    "the two cache fields disagree": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_cache_hit_tokens": 64,
            "prompt_tokens_details": {"cached_tokens": 32},
        },
        (100, 32, 5, 0),
    ),
    "more hits than prompt tokens": (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 164}},
        (100, 0, 5, 0),
    ),
    "more misses than prompt tokens": (
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_miss_tokens": 164},
        (100, 0, 5, 0),
    ),
    "more reasoning than completion": (
        {"prompt_tokens": 1, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 9}},
        (1, 0, 9, 9),
    ),
    "reasoning left out of the completion, but not of the total": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35, "reasoning_tokens": 20},
        (10, 0, 25, 20),
    ),
    "no completion tokens": ({"prompt_tokens": 10, "total_tokens": 35}, (10, 0, 25, 0)),
    "no prompt tokens": ({"completion_tokens": 10, "total_tokens": 35}, (25, 0, 10, 0)),
    "a total that is too small": ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 12}, (10, 0, 5, 0)),
    "only hits": ({"prompt_cache_hit_tokens": 64, "completion_tokens": 1}, (64, 64, 1, 0)),
    "a negative count": ({"prompt_tokens": -4, "completion_tokens": 10, "total_tokens": 14}, (4, 0, 10, 0)),
    "truth for a count": ({"prompt_tokens": 12, "completion_tokens": True, "total_tokens": 15}, (12, 0, 3, 0)),
    "half a token": ({"prompt_tokens": 12, "completion_tokens": 2.5, "total_tokens": 15}, (12, 0, 3, 0)),
    "more prompt tokens than can be": (
        {"prompt_tokens": 10**30, "completion_tokens": 2, "total_tokens": 9},
        (7, 0, 2, 0),
    ),
    "more tokens than can be, and both halves": (
        {"prompt_tokens": 10**30, "completion_tokens": 2, "prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 4},
        (7, 3, 2, 0),
    ),
    "more hits than can be": (
        {"prompt_tokens": 7, "completion_tokens": 2, "prompt_cache_hit_tokens": 10**25},
        (7, 0, 2, 0),
    ),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_what_contradicts_itself_is_repaired_and_flagged(case: str) -> None:
    raw, counts = REPAIRED[case]
    usage = parse_usage(raw)
    assert usage is not None
    assert (usage.prompt_tokens, usage.cache_hit_tokens, usage.completion_tokens, usage.reasoning_tokens) == counts
    assert usage.certainty == "estimated"
    assert usage.notes


LACKING: dict[str, tuple[dict[str, Any], tuple[int, int], tuple[int, int]]] = {
    # raw, (prompt, completion) where nothing else is known, the same where 20 and 6 were counted
    "no completion tokens and no total": ({"prompt_tokens": 10}, (10, 0), (10, 6)),
    "no completion tokens, and a total that is too small": ({"prompt_tokens": 10, "total_tokens": 9}, (10, 0), (10, 6)),
    "no prompt tokens and no total": ({"completion_tokens": 3}, (0, 3), (20, 3)),
    "only a total": ({"total_tokens": 35}, (35, 0), (20, 15)),
    "only a total that is too small": ({"total_tokens": 5}, (5, 0), (20, 6)),
    "text for a count": ({"prompt_tokens": "12", "completion_tokens": 3}, (0, 3), (20, 3)),
    "not a number": ({"prompt_tokens": float("nan"), "completion_tokens": 2}, (0, 2), (20, 2)),
    "more tokens than can be": ({"prompt_tokens": 10**25, "completion_tokens": 2}, (0, 2), (20, 2)),
    "more tokens than can be, and their total": (
        {"prompt_tokens": 10**25, "completion_tokens": 2, "total_tokens": 10**25 + 2},
        (0, 2),
        (20, 2),
    ),
    "more completion tokens than can be": ({"prompt_tokens": 9, "completion_tokens": 10**12}, (9, 0), (9, 6)),
    "only hits": ({"prompt_cache_hit_tokens": 64}, (64, 0), (64, 6)),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_missing_is_never_zero_for_sure_and_what_was_counted_elsewhere_takes_its_place(case: str) -> None:
    raw, alone, counted = LACKING[case]
    usage = parse_usage(raw)
    assert usage is not None
    assert ((usage.prompt_tokens, usage.completion_tokens), usage.certainty) == (alone, "unknown")
    usage = parse_usage(raw, prompt_tokens=20, completion_tokens=6)
    assert usage is not None
    assert ((usage.prompt_tokens, usage.completion_tokens), usage.certainty) == (counted, "estimated")
    assert any("missing" in note for note in usage.notes)


@pytest.mark.parametrize("shape", [*SHAPES, *REPAIRED])
def test_what_was_counted_elsewhere_changes_nothing_that_is_told(shape: str) -> None:
    raw = SHAPES[shape][0] if shape in SHAPES else REPAIRED[shape][0]
    assert parse_usage(raw, prompt_tokens=999, completion_tokens=999) == parse_usage(raw)


NAMES = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_eval_count",
    "eval_count",
    "prompt_tokens_details",
    "completion_tokens_details",
    "input_tokens_details",
    "cached_tokens",
)
counts = st.integers(-5, 10**6) | st.none()
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(NAMES), counts | junk, max_size=10))
def test_no_garbage_breaks_the_sums(raw: dict[str, Any]) -> None:
    usage = parse_usage(raw)
    if usage is not None:
        Usage.model_validate(usage.model_dump())  # the invariants hold
        assert (usage.certainty != "exact") == bool(usage.notes)
        filled = parse_usage(raw, prompt_tokens=7, completion_tokens=7)
        assert filled is not None
        assert filled.certainty != "unknown"
        if usage.certainty != "unknown":
            assert filled == usage


@given(
    st.integers(0, 10**6).flatmap(lambda prompt: st.tuples(st.just(prompt), st.integers(0, prompt))),
    st.integers(0, 10**6).flatmap(lambda completion: st.tuples(st.just(completion), st.integers(0, completion))),
)
def test_both_shapes_of_one_usage_agree(prompt: tuple[int, int], completion: tuple[int, int]) -> None:
    common = {
        "prompt_tokens": prompt[0],
        "completion_tokens": completion[0],
        "total_tokens": prompt[0] + completion[0],
        "completion_tokens_details": {"reasoning_tokens": completion[1]},
    }
    own = {"prompt_cache_hit_tokens": prompt[1], "prompt_cache_miss_tokens": prompt[0] - prompt[1]}
    details = {"prompt_tokens_details": {"cached_tokens": prompt[1]}}
    expected = Usage.of(prompt[0], completion[0], cache_hit=prompt[1], reasoning=completion[1])
    assert parse_usage(common | own) == parse_usage(common | details) == parse_usage(common | own | details) == expected
