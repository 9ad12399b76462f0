"""What machines of a cluster are told."""

from __future__ import annotations

from deepthrift.cluster._cluster import LEDGER_VARIABLE

__all__ = [
    "LEDGER_VARIABLE",
]
