"""The record of one routed answer: what was believed, what each plan would have cost, what was bought, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from deepthrift_pricing import Mode, Money
from deepthrift_router._belief.evidence import Evidence
from deepthrift_router._belief.prior import Score

RoutePolicy: TypeAlias = Literal["auto", "cascade", "standard", "thinking", "specialist"]
"""`auto`: the plan of the highest expected utility. `cascade`: standard and a second sample first, thinking when they
do not agree. `standard`, `thinking`, `specialist`: that only. On a ladder, `standard` is its lowest tier and `thinking`
its highest."""

PlanName: TypeAlias = Literal["standard", "cascade", "thinking", "specialist"] | str
"""`cascade`: call the lowest tier, verify, maybe escalate. Any other is the name of a tier, which is called at once:
the lowest one, such as `standard`, whose answer is accepted, or a higher one, such as `thinking` or `thinking:low`."""


class TokenLength(BaseModel):
    """How many completion tokens a mode is expected to use."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mode: Mode
    expected: float
    low: float
    """Lower end of the 95 % interval of the mean."""
    high: float
    calls: int
    """How many recorded calls it rests on."""
    source: Literal["recorded", "prior"]
    """`recorded`: this ledger's own calls. `prior`: the training data's, which may be far from yours."""


class PlanCost(BaseModel):
    """One plan that was considered before the first call."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    plan: PlanName
    cost: Money
    """Expected cost."""
    low: Money
    high: Money
    worst: Money
    """What a budget would have to reserve, all its calls together."""
    p_right: float
    """Probability that the answer is right."""
    utility: Money
    """`p_right` times the value of a right answer, less the expected cost and, where a second has a value, the wait."""
    seconds: float | None = None
    """How long it is expected to take; `None` where nobody asked or too few calls are on record."""
    sampled: float = 0.0
    """Chance that a second standard sample is bought."""
    escalated: float = 0.0
    """Chance that a tier above the lowest is called: 1 where it is called at once."""
    possible: bool = True
    note: str = ""
    """Why it was not possible."""


class Decision(BaseModel):
    """Why the answer is what it is."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    policy: RoutePolicy
    plan: PlanName
    """The plan that was chosen before the first call."""
    reason: str
    """In a sentence or two: what was done and why."""
    score: Score
    """What the question alone said."""
    p_standard: float
    """Probability that the standard answer, or that of the lowest tier, is right, on all the evidence."""
    p_thinking: float
    """Probability that thinking, or the highest tier, answers right, on all the evidence."""
    plans: tuple[PlanCost, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    """Evidence that could not be had or has no data, each with the reason."""
    degraded: tuple[str, ...] = ()
    """Where budget, cost limit, host or an error left less than was wanted."""
    value_of_right_answer: Money
    value_source: Literal["given", "default"]
    max_cost: Money | None = None
    threshold: float | None = None
    """Escalated from this gain on, where a target share or a bound on the quality lost sets it."""
    budget_left: Money | None = None
    """The least room among the budgets in scope when the plan was made; `None`: no budget."""
    prompt_tokens: int
    lengths: tuple[TokenLength, ...] = ()
    group_id: str
    """Every attempt of this answer carries it in the ledger."""
    setting: str = "shipped"
    """The version of the setting that the likelihoods and the prior come from."""
    shadow: str | None = None
    """What the shadow setting would have done at the end, where there is one."""
    tiers: Mapping[str, float] = Field(default_factory=dict[str, float])
    """For each tier in order, the probability that it answers right, on all the evidence, the answers of higher tiers
    included. `p_standard` and `p_thinking` are those of the lowest and the highest tier before a higher one was called.
    """

    @property
    def gain(self) -> float:
        """`p_thinking - p_standard` on all the evidence."""
        return self.p_thinking - self.p_standard

    @property
    def complexity(self) -> float:
        """How hard the question looks, 0 to 1, as scored before the first call."""
        return self.score.complexity
