"""A host's usage as a claim, and what was counted to check it."""

from __future__ import annotations

from deepthrift_pricing._values.usage_claims import BEYOND, OWN_BYTES, OWN_FACTOR, Evidence, check_claim

__all__ = [
    "BEYOND",
    "Evidence",
    "OWN_BYTES",
    "OWN_FACTOR",
    "check_claim",
]
