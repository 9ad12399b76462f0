"""Whether the vocabulary was read already."""

from __future__ import annotations

from deepthrift_pricing.tokens._text import is_loaded

__all__ = [
    "is_loaded",
]
