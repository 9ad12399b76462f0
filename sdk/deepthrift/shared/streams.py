"""Asynchronous streams for callers without `await`."""

from __future__ import annotations

from deepthrift._sync.pulled import Pulled

__all__ = [
    "Pulled",
]
