"""The router cannot promise or learn what it was asked to."""

from __future__ import annotations

from deepthrift_pricing.errors import DeepthriftError


class CalibrationError(DeepthriftError):
    """The router cannot promise or learn what was asked: what it knows of your traffic does not support it."""


class NotEnoughLabels(CalibrationError):
    """There are too few labelled answers for a promise or a fit.

    Attributes:
        labels: How many there are.
        needed: About how many it takes in all, or `None` where more would not help.
    """

    def __init__(self, message: str, *, labels: int = 0, needed: int | None = None) -> None:
        super().__init__(message)
        self.labels = labels
        self.needed = needed


class NoLift(CalibrationError):
    """What was fitted is no better than the setting in force, on labels that it has not seen. Nothing was written."""
