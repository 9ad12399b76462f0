"""What an alert says."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._values.budget import BudgetStatus

Severity: TypeAlias = Literal["info", "warning", "critical"]
"""How urgent an alert is."""

Kind: TypeAlias = Literal[
    "threshold", "forecast", "thinking_share", "cache_hits", "no_balance", "low_balance", "model_changed"
]
"""What an alert is about."""


class Alert(BaseModel):
    """Something that a person should know about the spend. It holds amounts and names, never prompts or keys."""

    model_config = ConfigDict(frozen=True)

    key: str
    """What happened, where and in which window: an alert with the same key is never sent twice."""
    kind: Kind
    severity: Severity
    title: str
    """One line."""
    text: str
    """What happened and what can be done."""
    at: datetime
    budget: str | None = None
    """The budget's name, where it is about one."""
    status: BudgetStatus | None = None
