"""Types that answers are read into."""

from __future__ import annotations

from deepthrift.structured._target import SchemaMismatch, Target

__all__ = [
    "SchemaMismatch",
    "Target",
]
