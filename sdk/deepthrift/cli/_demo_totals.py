"""The totals of a demo run, worked out from what the ledger holds of it."""

from __future__ import annotations
