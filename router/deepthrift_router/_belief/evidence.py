"""One piece of evidence, and how far it moved the belief."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing import Money

OWN_CHECK: Final = "check "
"""How the signals of a user's own checks begin. Their outcomes are words of the user's, and mean nothing else."""

TIER: Final = "tier "
"""How the signals begin that compare a higher tier's answer with earlier ones; the name of the tier follows."""


class Evidence(BaseModel):
    """One thing that was looked at, and what it did to the belief."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    signal: str
    outcome: str
    condition: str = "any"
    """Which table of likelihoods it was read in, such as by the length of the answer."""
    detail: str = ""
    weight: float | None
    """Change of the log odds that the standard answer is right; `None`: no data, so no weight."""
    decisive: bool = False
    """It settles the matter by itself: there is no answer, or your own validator refused it."""
    cost: Money
    p_standard: float
    """Probability that the standard answer is right, afterwards."""
