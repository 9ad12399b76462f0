"""Types that answers are read into."""

from __future__ import annotations

from deepthrift.structured._target import Misfit, Target

__all__ = [
    "Misfit",
    "Target",
]
