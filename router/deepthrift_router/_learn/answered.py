"""What is kept of a routed answer: features, hashes and outcomes, never a prompt or an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from deepthrift_pricing import Currency, utc_now
from deepthrift_router._belief.belief import Cells
from deepthrift_router._belief.evidence import TIER
from deepthrift_router._belief.prior import Score
from deepthrift_router._record.reply import RoutedReply

LabelSource: TypeAlias = Literal["feedback", "grader", "collected"]


class Answered(BaseModel):
    """One routed answer, as the router's store holds it."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    group_id: str
    at: datetime
    question: str
    """A keyed hash of the question: equal questions are known as such, and it cannot be read back."""
    setting: str
    process: str
    """How the evidence was bought: `samples=3` where it was the same for every answer, else `auto`."""
    plan: str
    mode: str
    """The mode of the answer that was given; on a ladder, `standard` for its lowest tier and `thinking` above."""
    tier: str = ""
    """The tier whose answer was given."""
    top: bool = True
    """Whether an answer that is not the lowest tier's is the highest's: only then do labels say of thinking."""
    chances: Mapping[str, float] = Field(default_factory=dict[str, float])
    """For each tier, the probability that it was believed to be right with."""
    tier_right: Mapping[str, bool] = Field(default_factory=dict[str, bool])
    """For each tier between the lowest and the highest that a label spoke of, whether it was right."""
    escalated: bool
    """Whether thinking, or a specialist, was asked."""
    cells: Cells
    """What the question alone said, before any setting moved it."""
    weight: float
    p_standard: float
    p_thinking: float
    evidence: tuple[tuple[str, str, str], ...] = ()
    """Signal, condition and outcome, in order."""
    cost: int
    """10⁻¹² of the currency, audits not included."""
    saved: int | None = None
    currency: Currency = "USD"
    seconds: float = 0.0
    propensity: float | None = None
    """The probability with which both modes were looked at; `None`: they were not."""
    audit_cost: int = 0
    same: bool | None = None
    """Whether both modes gave the same answer; `None` where it is not known or cannot be compared."""
    kept_right: bool | None = None
    """Whether the standard answer that was or would have been kept is right."""
    thinking_right: bool | None = None
    label: LabelSource | None = None
    shadow: str | None = None
    """What the shadow setting would have done: `accept` or `escalate`."""

    @property
    def gain(self) -> float:
        """What thinking was believed to add, on all the evidence."""
        return self.p_thinking - self.p_standard

    @property
    def confidence(self) -> float:
        """The probability that the answer that was given was believed to be right with."""
        return self.chances.get(self.tier, self.p_thinking if self.mode == "thinking" else self.p_standard)

    @property
    def labelled(self) -> bool:
        """Whether it is known of both modes if they were right."""
        return self.kept_right is not None and self.thinking_right is not None

    @property
    def right(self) -> bool | None:
        """Whether the answer that was given is right."""
        if self.mode == "thinking" and not self.top:
            return self.tier_right.get(self.tier)
        return self.thinking_right if self.mode == "thinking" else self.kept_right

    def with_verdict(self, right: bool, source: LabelSource) -> Answered:
        """The row once it is known whether the given answer is right; the other mode's follows where it must.

        Where both gave the same answer, both are right or both wrong; where they differ, only one can be right.
        """
        if self.mode == "thinking" and not self.top:
            return self.model_copy(update={"tier_right": {**self.tier_right, self.tier: right}, "label": source})
        other: bool | None = None
        if self.same is not None and (self.same or right):
            other = right if self.same else False
        kept, thinking = (other, right) if self.mode == "thinking" else (right, other)
        return self.model_copy(
            update={
                "kept_right": kept if kept is not None else self.kept_right,
                "thinking_right": thinking if thinking is not None else self.thinking_right,
                "label": source,
            }
        )


def process_of(samples: int, checks: Sequence[str] = ()) -> str:
    """How evidence is bought where it is the same for every answer: `samples=3`, `samples=1, cross_check of 2`."""
    return ", ".join([f"samples={samples}", *sorted(checks)])


def _mode_of(reply: RoutedReply) -> str:
    """Whether the answer is the lowest tier's: `standard`, or one above: `thinking`."""
    lowest = next(iter(reply.decision.tiers), "standard")
    if reply.path[-1] == "kept standard" or (lowest != "standard" and reply.tier == lowest):
        return "standard"
    return reply.requested_mode if lowest == "standard" and reply.tier in ("standard", "thinking") else "thinking"


def answered(
    reply: RoutedReply, base: Score, *, question: str, process: str, shadow: str | None, last: str = "thinking"
) -> Answered:
    """What is kept of `reply`; `base` is what the question said before any setting moved it.

    `last` is the highest tier.
    """
    decision = reply.decision
    net = reply.savings.net
    uppers = [*decision.tiers][1:] or ["thinking"]
    return Answered(
        group_id=reply.group_id,
        at=utc_now(),
        question=question,
        setting=decision.setting,
        process=process,
        plan=decision.plan,
        mode=_mode_of(reply),
        tier=reply.tier,
        top=reply.tier == last,
        chances=decision.tiers,
        escalated=any(step == "escalate" or step in uppers for step in reply.path),
        cells=base.cells,
        weight=decision.score.weight,
        p_standard=decision.p_standard,
        p_thinking=decision.p_thinking,
        # What a higher tier said came after the decision to call it, so no setting is fitted on it.
        evidence=tuple(
            (item.signal, item.condition, item.outcome)
            for item in decision.evidence
            if not item.signal.startswith(TIER)
        ),
        cost=reply.cost.total.pico,
        saved=None if net is None else net.pico,
        currency=reply.cost.total.currency,
        seconds=reply.seconds,
        shadow=shadow,
    )
