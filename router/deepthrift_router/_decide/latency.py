"""How long each mode takes here, from the calls on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepthrift_pricing import Attempt, Ledger, Mode

LEAST_TIMED: Final = 3
"""Recorded calls below which nothing is said of a mode's seconds."""
_RECENT: Final = 256
_EACH: Final = 32


def timed_attempts(ledger: Ledger) -> list[Attempt]:
    """Recent attempts that were answered in full, the newest first."""
    return [each for each in reversed(ledger.attempts(limit=_RECENT)) if each.status == "settled" and each.usage]


def expected_seconds(attempts: Sequence[Attempt], host: str, model: str, mode: Mode) -> float | None:
    """The mean seconds of recent calls in `mode`; the passes of one call are added up. `None` below three."""
    calls: dict[str, float] = {}
    for each in attempts:
        if (each.host, each.model, each.mode) == (host, model, mode) and each.seconds is not None:
            calls[each.call_id] = calls.get(each.call_id, 0.0) + each.seconds
    recent = list(calls.values())[:_EACH]
    return sum(recent) / len(recent) if len(recent) >= LEAST_TIMED else None
