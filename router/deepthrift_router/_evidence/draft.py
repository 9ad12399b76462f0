"""A reply with its parsed answer, and what a signal reads in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deepthrift import Reply
from deepthrift_router._answers.answers import Answer, parse_answer

COMPLETE: Final = frozenset({"stop", "tool_calls", "function_call", "eos", "eos_token", "end_turn", "stop_sequence"})
"""Finish reasons of answers that came to their own end."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A reply with the answer that was parsed from it."""

    reply: Reply
    answer: Answer | None
    """`None` when it was cut off, is empty, or is open prose."""

    @classmethod
    def of(cls, reply: Reply, question: str) -> Draft:
        """Parses `reply`; one that was cut off has no answer, whatever it ends on."""
        usable = unusable(reply) is None and not reply.tool_calls
        return cls(reply, parse_answer(reply.text, question) if usable else None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal saw."""

    outcome: str
    detail: str = ""
    decisive: bool = False


def unusable(reply: Reply) -> tuple[str, str] | None:
    """Why `reply` cannot be accepted as an answer: an outcome and its description, or `None`."""
    if reply.finish_reason == "length":
        return "truncated", "the answer was cut off at max_tokens"
    if reply.finish_reason not in COMPLETE:
        return "interrupted", f"the answer ended with {reply.finish_reason!r}"
    if not reply.text.strip() and not reply.tool_calls:
        return "empty", "the answer is empty"
    return None
