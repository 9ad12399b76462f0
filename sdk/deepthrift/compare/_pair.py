"""One prompt and what both sides made of it."""

from __future__ import annotations

from dataclasses import dataclass

from deepthrift.batch import BatchResult, BatchRow
from deepthrift.batch._result import public_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One prompt and what both sides made of it.

    Attributes:
        row: The prompt.
        a: What became of it on side A.
        b: What became of it on side B.
        agree: Whether both say the same; `None` when one has no answer, or it cannot be told.
    """

    row: BatchRow
    a: BatchResult
    b: BatchResult
    agree: bool | None = None

    @property
    def both(self) -> bool:
        """Whether both sides answered."""
        return self.a.reply is not None and self.b.reply is not None

    def line(self) -> dict[str, object]:
        """The pair with its answers, as JSON types."""
        return {"id": self.row.custom_id, "agree": self.agree, "a": _side(self.a), "b": _side(self.b)}


def _side(result: BatchResult) -> dict[str, object]:
    cost, reply = result.cost, result.reply
    fields: dict[str, object] = {
        "outcome": result.outcome,
        "cost": None if cost is None else f"{cost.amount:f}",
        "currency": None if cost is None else cost.currency,
    }
    if reply is None:
        error = result.error
        return {**fields, "error": None if error is None else {"type": public_name(error), "message": error.message}}
    return {
        **fields,
        "text": reply.text,
        "reasoning": reply.reasoning,
        "tool_calls": [call.model_dump(mode="json") for call in reply.tool_calls],
        "mode": reply.mode,
        "finish_reason": reply.finish_reason,
        "seconds": round(reply.seconds, 6),
        "prompt_tokens": reply.usage.prompt_tokens,
        "completion_tokens": reply.usage.completion_tokens,
        "reasoning_tokens": reply.usage.reasoning_tokens,
        "warnings": list(reply.warnings),
    }
