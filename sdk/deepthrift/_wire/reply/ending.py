"""Whether an answer that ended is a whole one, told by the finish reason that the endpoint gave."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Ending: TypeAlias = Literal["whole", "cut", "doubtful"]

_WHOLE: Final = frozenset(
    {
        "complete", "completed", "content_filter", "content-filter", "done", "end", "end_turn", "eos", "eos_token",
        "finish", "finished", "function_call", "insufficient_system_resource", "length", "max_tokens", "normal",
        "safety", "sensitive", "stop", "stop_sequence", "stop_token", "success", "tool_call", "tool_calls",
        "tool_use",
    }
)  # fmt: skip
"""Reasons that say what happened: callers know `length` and `content_filter` from every host, and the one of DeepSeek's
that stands for a lack of resources has a warning of its own."""
_CUT: Final = (
    "abort", "cancel", "crash", "disconnect", "error", "exception", "exhaust", "fail", "incomplete",
    "interrupt", "killed", "lost", "overload", "preempt", "shutdown", "terminated", "time_limit", "timed",
    "timeout", "unavailable",
)  # fmt: skip
"""Parts of the reasons with which an endpoint says that it broke off."""


def ending_of(finish_reason: str) -> Ending:
    """`"whole"`, `"cut"` where the endpoint says that it broke off, or `"doubtful"` where nobody can tell."""
    reason = finish_reason.strip().lower()
    if reason in _WHOLE:
        return "whole"
    return "cut" if any(part in reason for part in _CUT) else "doubtful"


def doubt(finish_reason: str) -> str | None:
    """A warning for an answer that was broken off or may have been, `None` for any other."""
    ending = ending_of(finish_reason)
    if ending == "whole":
        return None
    if ending == "cut":
        return f"the endpoint broke off its answer ({finish_reason[:80]}); it is cut"
    if finish_reason == "unknown":
        return "the endpoint gave no finish reason; the answer may be cut"
    return f"the finish reason {finish_reason[:80]!r} is not a known one; the answer may be cut"
