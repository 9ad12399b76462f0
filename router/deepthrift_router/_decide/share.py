"""A share of escalations that is met on the user's own traffic, whatever it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_STEP: Final = 0.02
_WARM: Final = 20
"""Recorded gains from which their quantile is the first threshold."""


class ShareControl:
    """A threshold on the gain that moves with each answer, up after an escalation and down after none.

    This is adaptive conformal inference (Gibbs and Candès, 2021): over T answers the share is within
    (range of the threshold + step) / (step x T) of the target, for any sequence of questions, also one that drifts.
    """

    def __init__(self, target: float, gains: Sequence[float] = (), start: float | None = None) -> None:
        self.target = target
        self.answers = 0
        self.escalated = 0
        if start is not None:
            self._threshold = start
        elif len(gains) >= _WARM:
            ordered = sorted(gains)
            self._threshold = ordered[min(len(ordered) - 1, int((1 - target) * len(ordered)))]
        else:
            self._threshold = 0.1

    @property
    def threshold(self) -> float:
        """Escalate from this gain on, -1.02 to 1.02."""
        return self._threshold

    @property
    def share(self) -> float | None:
        """The share so far, or `None` before the first answer."""
        return self.escalated / self.answers if self.answers else None

    def note(self, *, escalated: bool) -> None:
        """One more answer was given."""
        self.answers += 1
        self.escalated += escalated
        moved = self._threshold + _STEP * (escalated - self.target)
        # Beyond the ends every answer is decided the same way already.
        self._threshold = min(1.0 + _STEP, max(-1.0 - _STEP, moved))
