"""Named time zones."""

from __future__ import annotations

from deepthrift_pricing._values.zone import zone_of

__all__ = [
    "zone_of",
]
