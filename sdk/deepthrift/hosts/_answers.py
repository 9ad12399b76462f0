"""How a host's answers look, where they differ from the usual form."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue


class AnswerForm(BaseModel):
    """The form of a host's answers, as its documentation shows it. Wire fixtures are written in this form.

    The client reads every form, whatever a profile says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    fields: dict[str, JsonValue] = {}
    """Fields that every answer and every chunk has, on top of the usual ones."""
    comment: str | None = None
    """A comment that the host sends before the first event of a stream."""
    usage: Literal["openai", "deepseek", "plain", "sglang"] = "openai"
    """The shape of the usage. `plain` has no count of reasoning tokens; `sglang` has it outside the details."""
    usage_chunk: Literal["own", "with_choice", "finish", "every"] = "own"
    """Which chunk of a stream has the usage: one of its own, with or without a choice, the one with the finish reason,
    or every chunk."""
    usage_fields: dict[str, JsonValue] = {}
    """Fields that come with the usage, in an answer and in the last chunk."""
    null_reasoning: bool = False
    """Whether a stream's deltas of text have the reasoning as null."""
    reasoning_details: bool = False
    """Whether the reasoning comes a second time, as a list of parts."""
