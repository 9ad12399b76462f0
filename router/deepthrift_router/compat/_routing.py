"""What the router adds to an answer in openai's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing import Cost, Mode
from deepthrift_router._record.decision import Decision
from deepthrift_router._record.reply import RoutedReply, Step
from deepthrift_router._record.savings import Savings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk


class Routing(BaseModel):
    """How an answer came about and what it cost."""

    model_config = ConfigDict(frozen=True)

    mode: Mode
    """The mode whose answer was chosen."""
    path: tuple[Step, ...]
    confidence: float
    """Probability that the answer is right, on all the evidence."""
    cost: Cost
    """Of every call of this answer, exactly."""
    savings: Savings
    decision: Decision
    group_id: str
    """Every attempt of this answer carries it in the ledger."""
    attempt_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, reply: RoutedReply) -> Routing:
        """That of a routed reply."""
        return cls(
            mode=reply.mode,
            path=reply.path,
            confidence=reply.confidence,
            cost=reply.cost,
            savings=reply.savings,
            decision=reply.decision,
            group_id=reply.group_id,
            attempt_ids=tuple(attempt.id for attempt in reply.attempts),
            warnings=reply.warnings,
        )


def routing_of(completion: ChatCompletion | ChatCompletionChunk) -> Routing | None:
    """How an answer of the facade came about; of several choices, the first one's.

    `None` for what the router has not answered, and for every chunk of a stream but the one with the finish reason. As
    plain data the same lies in `completion.model_extra["deepthrift"]`, a list with an entry for each choice.
    """
    told = (completion.model_extra or {}).get("deepthrift")
    return Routing.model_validate(told[0]) if told else None
