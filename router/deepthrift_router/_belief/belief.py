"""What is believed about one question: four cases, and how evidence moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, TypeAlias

Cells: TypeAlias = tuple[float, float, float, float]
"""One number for each case: both modes right, only standard right, only thinking right, neither."""

_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Belief:
    """Probabilities of the four cases; they add up to 1.

    The gain of thinking needs both modes at once: a question that neither answers is no reason to think.
    """

    cells: Cells

    @classmethod
    def of(cls, weights: Sequence[float]) -> Belief:
        """A belief in proportion to four weights."""
        both, standard, thinking, neither = weights
        both = both if both > _FLOOR else _FLOOR
        standard = standard if standard > _FLOOR else _FLOOR
        thinking = thinking if thinking > _FLOOR else _FLOOR
        neither = neither if neither > _FLOOR else _FLOOR
        total = both + standard + thinking + neither
        return cls((both / total, standard / total, thinking / total, neither / total))

    @classmethod
    def of_logits(cls, logits: Sequence[float]) -> Belief:
        """A belief from four log weights."""
        top = max(logits)
        return cls.of([exp(logit - top) for logit in logits])

    @property
    def logits(self) -> Cells:
        """The logarithms of the four probabilities."""
        both, standard, thinking, neither = self.cells
        return log(max(_FLOOR, both)), log(max(_FLOOR, standard)), log(max(_FLOOR, thinking)), log(max(_FLOOR, neither))

    @property
    def p_standard(self) -> float:
        """Probability that the standard answer is right."""
        return self.cells[0] + self.cells[1]

    @property
    def p_thinking(self) -> float:
        """Probability that thinking answers right."""
        return self.cells[0] + self.cells[2]

    @property
    def gain(self) -> float:
        """`p_thinking - p_standard`: what thinking adds."""
        return self.cells[2] - self.cells[1]

    def given(self, likelihood: Sequence[float], temper: float = 1.0) -> Belief:
        """The belief after an observation with these four likelihoods, by Bayes' rule.

        `temper` below 1 takes the observation for so much less than it seems, where it tells again what is known.
        """
        both, standard, thinking, neither = self.cells
        b, s, t, n = likelihood
        return Belief.of((both * b**temper, standard * s**temper, thinking * t**temper, neither * n**temper))

    def chance(self, likelihood: Sequence[float]) -> float:
        """The probability of an observation with these four likelihoods."""
        both, standard, thinking, neither = self.cells
        b, s, t, n = likelihood
        return both * b + standard * s + thinking * t + neither * n

    def moved(self, shares: Sequence[Cells]) -> Belief:
        """The belief about another answer: from each case, the shares that go to the four cases of the other one."""
        cells = [
            sum(cell * share[target] for cell, share in zip(self.cells, shares, strict=True)) for target in range(4)
        ]
        return Belief.of(cells)

    def without_standard(self) -> Belief:
        """The belief once the standard answer is known to be of no use: only thinking can still be right."""
        _, _, thinking, neither = self.cells
        both, standard = self.cells[0], self.cells[1]
        return Belief((0.0, 0.0, both + thinking, standard + neither))
