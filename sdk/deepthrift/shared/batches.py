"""The file that a batch is written to."""

from __future__ import annotations

from deepthrift.batch._lock import lock

__all__ = [
    "lock",
]
