"""Tails and intervals, without numpy."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

_Z: Final = 1.959963984540054
_WORK: Final = 2_000_000
"""Draws that a bootstrap may take: about half a second."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of them do not exceed; `None` of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def bootstrap(differences: Sequence[float]) -> tuple[float, float, float] | None:
    """The mean of paired differences and its 95 % percentile-bootstrap interval; `None` of fewer than two.

    The same differences give the same interval.
    """
    size = len(differences)
    if size < 2:
        return None
    draw = random.Random(size).choices  # noqa: S311  # a fixed seed, so that a report can be made again
    resamples = max(200, min(2000, _WORK // size))
    means = sorted(math.fsum(draw(differences, k=size)) / size for _ in range(resamples))
    edge = resamples // 40
    return math.fsum(differences) / size, means[edge], means[-edge - 1]


def wilson(hits: int, size: int) -> tuple[float, float] | None:
    """The 95 % Wilson interval of a share; `None` of nothing."""
    if not size:
        return None
    share, square = hits / size, _Z * _Z
    middle = (share + square / (2 * size)) / (1 + square / size)
    half = _Z * math.sqrt(share * (1 - share) / size + square / (4 * size * size)) / (1 + square / size)
    return max(0.0, middle - half), min(1.0, middle + half)
