"""What a scripted endpoint does with a request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from deepthrift._types.messages import JSONObject, JSONValue
from deepthrift_pricing import Mode


@dataclass(frozen=True, slots=True)
class MockReply:
    """An answer. Tokens that are left out are counted as V3.1 counts them; times are in seconds.

    Attributes:
        text: The answer.
        reasoning: The chain of thought, sent when the thinking mode runs.
        tool_calls: Name and arguments of each call; arguments are an object, or the text to send for one.
        finish_reason: Left out, `tool_calls` or `stop`; `length` when `max_tokens` cuts the answer.
        mode: The mode that runs, whatever was asked; left out, the one asked for.
        prompt_tokens: As the endpoint reports them.
        cache_hit_tokens: How many of them came from its cache.
        completion_tokens: All generated ones, reasoning included.
        reports_usage: Whether it reports tokens at all.
        logprob: The natural logarithm of each token's probability, when the request asks for it.
        delay: Before anything is sent.
        chunk_delay: Before each piece of a stream.
        cut_after: So many pieces of a stream arrive before the connection is lost.
        headers: Further headers of the response.
        expect: Fields that the request's body must have, or the test fails.
    """

    text: str = ""
    reasoning: str | None = None
    tool_calls: Sequence[tuple[str, JSONObject | str]] = ()
    finish_reason: str | None = None
    mode: Mode | None = None
    prompt_tokens: int | None = None
    cache_hit_tokens: int = 0
    completion_tokens: int | None = None
    reports_usage: bool = True
    logprob: float | None = None
    delay: float = 0.0
    chunk_delay: float = 0.0
    cut_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    expect: Mapping[str, JSONValue] = field(default_factory=dict[str, JSONValue])

    def arguments(self) -> list[tuple[str, str]]:
        """Name and argument text of each call."""
        return [
            (name, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))
            for name, given in self.tool_calls
        ]


@dataclass(frozen=True, slots=True)
class MockError:
    """An error status, in the shape of DeepSeek's API.

    Attributes:
        status: The HTTP status.
        message: The endpoint's words.
        retry_after: Seconds that it asks to wait.
        delay: Seconds before it comes.
    """

    status: int
    message: str = "a scripted error"
    retry_after: float | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class MockDisconnect:
    """The connection is lost before an answer, after the request was received.

    Attributes:
        delay: Seconds before that.
    """

    delay: float = 0.0


MockBehaviour: TypeAlias = MockReply | MockError | MockDisconnect
"""What a scripted endpoint does with one request."""
