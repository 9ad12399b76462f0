"""What a probe asks, and how the answers are judged."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal, TypeAlias, cast

from deepthrift import Reply
from deepthrift.errors import (
    AuthenticationFailed,
    ContextLengthExceeded,
    InsufficientBalance,
    PermissionRefused,
    RateLimited,
    StatusError,
)
from deepthrift.hosts import Dialect, Feature, ReasoningField

Verdict: TypeAlias = Literal["yes", "no", "unclear"]

DIALECTS: Final[tuple[Dialect, ...]] = (
    "ctk_thinking",
    "ctk_both",
    "thinking_type",
    "enable_thinking",
    "reasoning_object",
    "effort",
    "header",
    "native_think",
    "model_suffix",
    "model_name",
)
"""Every documented switch, in the order in which they are tried."""
MOST_REQUESTS: Final = 2 * len(DIALECTS) + 19
ANSWER: Final = 512
"""Tokens that one answer may have: enough for the reasoning on a simple sum to come to its end."""
FEATURES: Final[frozenset[Feature]] = frozenset(
    ("forced_tool_choice", "json_object", "json_schema", "logprobs", "seed", "temperature", "tools", "top_p")
)
FIELDS: Final[tuple[ReasoningField, ...]] = ("reasoning_content", "reasoning")
LONG: Final = 1_500
"""Characters of the prompt that is sent twice; caches want some hundred tokens."""
SUM: Final = "What is 17 + 25? Answer with the number."
ZEBRAS: Final = "How many zebras are there: zebra, horse, zebra? Answer as JSON."
TOO_MANY: Final = 1_000_000_000
ENOUGH: Final = 32
"""Pieces of an answer without a limit that are waited for."""
LIMIT: Final = re.compile(
    r"\[\s*\d\s*,\s*(?P<range>\d{3,7})\s*\]"
    r"|(?:(?:maximum )?context (?:length|size|window)|max_model_len)\D{0,20}?(?P<context>\d{4,7})(?!\d)"
    r"|(?:at most|less than or equal to|maximum|no more than|<=)\D{0,40}?(?P<most>\d{3,7})(?!\d)",
    re.IGNORECASE,
)
"""How endpoints name the limit of `max_tokens` where they refuse a number."""
TOOL: Final[dict[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"zebra_total": {"type": "integer"}},
    "required": ["zebra_total"],
    "additionalProperties": False,
}
REFUSED: Final = (StatusError, ContextLengthExceeded)
"""How an endpoint says no; some say so of a `max_tokens` that is more than their context."""
FINAL: Final = (AuthenticationFailed, InsufficientBalance, PermissionRefused, RateLimited)
"""Refusals that say nothing about what was asked."""


def said(error: StatusError | ContextLengthExceeded) -> str:
    """The endpoint's own words."""
    return (error.body if isinstance(error, StatusError) else "") or error.message


def refusal(error: StatusError | ContextLengthExceeded) -> str:
    """A refusal on one line."""
    status = f" ({error.status})" if isinstance(error, StatusError) else ""
    return f"refused{status}: {' '.join(said(error).split())[:100]}"


def parsed(reply: Reply, keys: set[str] | None) -> tuple[Verdict, str]:
    """Whether the answer is a JSON object, with just `keys` if there are any."""
    try:
        value: object = json.loads(reply.text)
    except ValueError:
        cut = reply.finish_reason == "length"
        return ("unclear", "the answer was cut") if cut else ("no", "the answer is not JSON")
    if not isinstance(value, dict):
        return "no", "the answer is no JSON object"
    if keys is not None and set(cast("dict[str, object]", value)) != keys:
        return "no", "the schema was ignored"
    return "yes", ""


def called(reply: Reply) -> tuple[Verdict, str]:
    """Whether a tool was called, and what had to be repaired."""
    if not reply.tool_calls:
        return "no", "answered without a call"
    return "yes", "; ".join(warning for warning in reply.warnings if "tool" in warning)
