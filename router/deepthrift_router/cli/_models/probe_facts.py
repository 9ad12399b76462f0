"""What a probe has learned of an endpoint so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepthrift.hosts import CachedTokens, Dialect, Feature, ReasoningField
from deepthrift_pricing import Mode


@dataclass
class ProbeFacts:
    """What was learned so far."""

    dialect: Dialect = "undocumented"
    empty: Mode | None = None
    """The mode that runs when nothing is sent, where the other has a switch and this one has not."""
    default: Mode = "standard"
    reasoning: ReasoningField | None = None
    inline: bool = False
    cached: CachedTokens = "unknown"
    stream_usage: bool = True
    context: int | None = None
    features: dict[Mode, set[Feature]] = field(default_factory=lambda: {"standard": set(), "thinking": set()})
    limits: dict[Mode, int] = field(default_factory=dict[Mode, int])
