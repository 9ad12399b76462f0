"""What comes out of a routed call."""

from __future__ import annotations

from typing import Literal, TypeAlias

from deepthrift import Reply
from deepthrift_router._record.decision import Decision
from deepthrift_router._record.savings import Savings

Step: TypeAlias = Literal["standard", "sample", "check", "escalate", "thinking", "specialist", "kept standard"] | str
"""One step on the way to the answer. `sample`: a further standard answer. `check`: a check that took a call.
`escalate`: thinking after a standard answer. `thinking`: thinking as the first call, or beside the standard one in a
race. `specialist`: the model on another endpoint. `kept standard`: thinking gave no usable answer, so the earlier one
stands. On a ladder, a tier is a step under its own name, after `escalate` where it isn't the first; `kept NAME` says
that an earlier tier's answer stands."""


class RoutedReply(Reply):
    """A complete answer with everything that led to it.

    `text`, `mode`, `finish_reason`, `call_id` and the like are those of the call whose answer was chosen. `attempts`,
    `usage`, `cost` and `seconds` cover every call of the group: drafts, second samples, failed attempts.
    """

    confidence: float
    """Probability that `text` is right, on all the evidence; 0 for an answer that was cut off or is empty."""
    decision: Decision
    savings: Savings
    """Against always thinking, net of everything."""
    path: tuple[Step, ...]
    """The steps in order, such as standard, sample, escalate."""
    group_id: str
    """Every attempt of this answer carries it in the ledger."""
    tier: str = ""
    """The tier whose answer it is, such as `standard` or `thinking:low`."""

    @property
    def escalated(self) -> bool:
        """Whether a tier above the first one, such as thinking, was called after it."""
        return "escalate" in self.path or "specialist" in self.path[1:]
