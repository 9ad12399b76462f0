"""Figures of merit, in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import Final

from pydantic import BaseModel, ConfigDict

BINS: Final = 10


class Interval(BaseModel):
    """A figure with the ends of its 95 % bootstrap interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class ReliabilityBin(BaseModel):
    """Answers whose confidence lies in one tenth of the scale."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float
    count: int
    confidence: float
    """Mean confidence."""
    right: float
    """Share that was right."""


def area_under_roc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The chance that a positive has a higher score than a negative, ties counted half; `None` without both kinds."""
    positives = sum(positive)
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    below = won = 0.0
    pairs = sorted(zip(scores, positive, strict=True))
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        tied = [is_positive for _, is_positive in group]
        here = sum(tied)
        won += here * (below + (len(tied) - here) / 2)
        below += len(tied) - here
    return won / (positives * negatives)


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> tuple[ReliabilityBin, ...]:
    """Confidence against the share that was right, by tenths of confidence; empty tenths are left out."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for value, was_right in zip(confidence, right, strict=True):
        bins.setdefault(min(BINS - 1, max(0, int(value * BINS))), []).append((value, was_right))
    return tuple(
        ReliabilityBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            count=len(found),
            confidence=sum(value for value, _ in found) / len(found),
            right=sum(was_right for _, was_right in found) / len(found),
        )
        for place, found in sorted(bins.items())
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows in the order in which they are sent to thinking; rows of equal score share their places."""

    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, scores: Sequence[float]) -> Ranking:
        """The highest score first."""
        order = sorted(range(len(scores)), key=lambda row: -scores[row])
        return cls(tuple(tuple(group) for _, group in groupby(order, key=lambda row: scores[row])))

    def at(
        self, shares: Sequence[float], kept: Sequence[float], taken: Sequence[float], count: Sequence[int]
    ) -> list[float]:
        """For each share, in rising order, the mean over rows of `taken` for the first of them and `kept` for the rest.

        `count` says how often each row is there. Within a group of equal scores every row is as likely as the others.
        """
        total = sum(count)
        wanted = [share * total for share in shares]
        got: list[float] = []
        seen = 0.0
        value = sum(each * times for each, times in zip(kept, count, strict=True))
        for group in self.groups:
            if len(group) == 1:  # nearly always, and several times as fast
                size = count[group[0]]
                change = (taken[group[0]] - kept[group[0]]) * size
            else:
                size = sum(count[row] for row in group)
                change = sum((taken[row] - kept[row]) * count[row] for row in group)
            if not size:
                continue
            while len(got) < len(wanted) and wanted[len(got)] <= seen + size:
                got.append((value + change * (wanted[len(got)] - seen) / size) / total)
            if len(got) == len(wanted):
                break
            seen += size
            value += change
        return got + [value / total] * (len(wanted) - len(got))


def resamples(rows: int, draws: int, seed: int = 0) -> list[list[int]]:
    """How often each row is drawn in each of `draws` bootstrap resamples."""
    random = Random(seed)  # noqa: S311 - statistics, not secrets
    found: list[list[int]] = []
    for _ in range(draws):
        count = [0] * rows
        for row in random.choices(range(rows), k=rows):
            count[row] += 1
        found.append(count)
    return found


def interval(value: float, drawn: Sequence[float]) -> Interval:
    """The figure with the 2.5 % and 97.5 % quantiles of its resampled values."""
    ordered = sorted(drawn)
    if not ordered:
        return Interval(value=value, low=value, high=value)
    last = len(ordered) - 1
    return Interval(value=value, low=ordered[round(0.025 * last)], high=ordered[round(0.975 * last)])


def bootstrap(
    figure: Callable[[Sequence[int]], Sequence[float]], rows: int, draws: int, seed: int = 0
) -> list[Interval]:
    """Figures of all rows, with intervals; `figure` gets how often each row counts."""
    exact = figure([1] * rows)
    drawn = [figure(count) for count in resamples(rows, draws, seed)]
    return [interval(value, [each[place] for each in drawn]) for place, value in enumerate(exact)]
