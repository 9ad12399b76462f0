"""What is believed about every tier of a ladder at once, and what one tier's answer says about another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp, prod
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict

from deepthrift_router._belief.belief import Belief, Cells
from deepthrift_router._belief.likelihoods import Table

SAMPLE: Final = -1
"""A further sample of the lowest tier, among the members of a group."""
Group: TypeAlias = tuple[int, ...]
"""Tiers whose answers are the same, by their place in the ladder; `SAMPLE` for a further sample of the lowest one."""


class LadderData(BaseModel):
    """How the tiers of a ladder hang together, as measured on recorded outcomes."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    version: str
    source: str
    rows: int
    middle: tuple[tuple[float, float], ...]
    """For each case of the lowest and the highest tier, the log odds that a tier between is right: at the lower end,
    and what is added up to the upper one. How far up a tier stands is told by its cost, on a logarithmic scale."""
    agreement: Mapping[str, Table]
    """How often two tiers' answers `agree` or `differ`, by which of both is right; for the same model, and for two."""
    third: Table
    """With which of two differing samples another tier `agree`s: the first, the `other`, or `neither`."""

    @classmethod
    def builtin(cls) -> LadderData:
        """The data that come with the package."""
        return _builtin()

    def between(self, place: float) -> Cells:
        """The chances that a tier is right which stands at `place`, 0 to 1, by the case of both ends."""
        both, low, high, neither = (1 / (1 + exp(-(start + slope * place))) for start, slope in self.middle)
        return both, low, high, neither


@lru_cache(maxsize=1)
def _builtin() -> LadderData:
    return LadderData.model_validate_json((files("deepthrift_router") / "data" / "ladder.json").read_bytes())


@dataclass(frozen=True, slots=True)
class JointBelief:
    """A probability for each set of tiers that may be the right ones; bit `n` of the place is tier `n`."""

    tiers: int
    cells: tuple[float, ...]

    @classmethod
    def of(cls, ends: Belief, between: Sequence[Cells]) -> JointBelief:
        """From what is believed of the lowest and the highest tier, and how those between follow from it."""
        count = len(between) + 2
        cells: list[float] = []
        for place in range(1 << count):
            low, high = place & 1, place >> (count - 1)
            case = (0 if high else 1) if low else (2 if high else 3)
            chance = ends.cells[case]
            for number, table in enumerate(between, 1):
                chance *= table[case] if place >> number & 1 else 1 - table[case]
            cells.append(chance)
        return cls(count, tuple(cells))

    def p(self, tier: int) -> float:
        """Probability that `tier` is right."""
        cells = self.cells
        return sum([cells[place] for place in _places(self.tiers, tier)])

    @property
    def ends(self) -> Belief:
        """What is believed of the lowest and the highest tier."""
        found, top = [0.0] * 4, self.tiers - 1
        for place, cell in enumerate(self.cells):
            low, high = place & 1, place >> top
            found[(0 if high else 1) if low else (2 if high else 3)] += cell
        return Belief.of(found)

    def given(self, likelihood: Sequence[float]) -> tuple[float, JointBelief]:
        """The chance of an observation, and the belief after it."""
        cells = [cell * each for cell, each in zip(self.cells, likelihood, strict=True)]
        chance = sum(cells)
        if chance <= 0:
            return 0.0, self
        return chance, JointBelief(self.tiers, tuple(cell / chance for cell in cells))

    def without(self, tier: int) -> JointBelief:
        """The belief once it is known that `tier` gave no answer that is of use."""
        bit, cells = 1 << tier, list(self.cells)
        for place in range(len(cells)):
            if place & bit:
                cells[place ^ bit] += cells[place]
                cells[place] = 0.0
        return JointBelief(self.tiers, tuple(cells))


@lru_cache(maxsize=32)
def _places(tiers: int, tier: int) -> tuple[int, ...]:
    """The cells in which `tier` is right."""
    return tuple(place for place in range(1 << tiers) if place >> tier & 1)


class Comparisons:
    """How likely each outcome is when one more tier's answer is compared with those that are there."""

    def __init__(self, data: LadderData, models: Sequence[str]) -> None:
        self._data = data
        self._models = tuple(models)
        self._known: dict[tuple[int, tuple[Group, ...]], list[list[float]]] = {}

    def outcomes(self, tier: int, groups: tuple[Group, ...]) -> list[list[float]]:
        """For each group that the answer of `tier` may join, and at last for none: the likelihood in every cell."""
        known = self._known.get((tier, groups))
        if known is None:
            known = self._known[tier, groups] = self._outcomes(tier, groups)
        return known

    def _outcomes(self, tier: int, groups: tuple[Group, ...]) -> list[list[float]]:
        count = len(self._models)
        split = any(SAMPLE in group and 0 not in group for group in groups)
        found: list[list[float]] = [[] for _ in range(len(groups) + 1)]
        for place in range(1 << count):
            weights = [
                prod(
                    self._chance(member, tier, place, same=number == chosen, split=split)
                    for number, group in enumerate(groups)
                    for member in group
                )
                for chosen in range(len(groups) + 1)
            ]
            total = sum(weights)
            for each, weight in zip(found, weights, strict=True):
                each.append(weight / total)
        return found

    def _chance(self, member: int, tier: int, place: int, *, same: bool, split: bool) -> float:
        """Of agreeing with one member, or not, where the right tiers are those of `place`."""
        low = place >> max(0, member) & 1
        high = place >> tier & 1
        case = (0 if high else 1) if low else (2 if high else 3)
        if split and member in (0, SAMPLE):
            third = self._data.third
            agree = third["agree" if member == 0 else "other"][case]
            # Of both samples one at most is the same, so what is left is shared out among them.
            return agree if same else max(1e-6, 1 - agree)
        if member == SAMPLE:
            return 1.0  # it says what the first sample says
        kind = "same model" if self._models[member] == self._models[tier] else "other model"
        return self._data.agreement[kind]["agree" if same else "differ"][case]
