"""Attempts on their way into a ledger."""

from __future__ import annotations

from deepthrift_pricing._ledger.queue.idle_thread import in_event_loop
from deepthrift_pricing._ledger.queued import Booking, all_written
from deepthrift_pricing._ledger.rows.identities import clean
from deepthrift_pricing._ledger.rows.records import unsent_attempt
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY

__all__ = [
    "Booking",
    "UNKNOWN_IDENTITY",
    "all_written",
    "clean",
    "in_event_loop",
    "unsent_attempt",
]
