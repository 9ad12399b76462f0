"""Means with their uncertainty, without numpy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

_RESAMPLES: Final = 200


def bootstrap_mean(values: Sequence[int]) -> tuple[float, float, float]:
    """The mean of `values` and the ends of its 95 % percentile-bootstrap interval.

    The same values give the same interval.

    Raises:
        ValueError: There are no values.
    """
    size = len(values)
    if not size:
        raise ValueError("there is no mean of nothing")
    # Not a secret: a fixed seed keeps the same record at the same interval.
    draw = random.Random(size).choices  # noqa: S311
    means = sorted(sum(draw(values, k=size)) / size for _ in range(_RESAMPLES))
    edge = _RESAMPLES // 40
    return sum(values) / size, means[edge], means[-edge - 1]
