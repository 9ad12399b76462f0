"""Which tier to call next, or whether to stop: backward induction over the tiers above the last one that was called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deepthrift_router._belief.belief import Belief, Cells
from deepthrift_router._belief.ladder import SAMPLE, Comparisons, Group, JointBelief

_NEGLIGIBLE: Final = 0.002
"""Outcomes that are less likely than this are not looked beyond."""
_EXACT: Final = 4
"""The most tiers of a ladder whose every way up is looked at."""
_AHEAD: Final = 2
"""How many calls are looked ahead on longer ones; after each call it is looked ahead anew."""


@dataclass(frozen=True, slots=True)
class TierCall:
    """A tier that can be called now."""

    tier: int
    """Its place in the ladder."""
    price: float
    """What it is expected to cost, waiting included, in 10⁻¹² of the currency."""
    money: float
    """The same without the waiting."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a way on is expected to come to."""

    right: float
    """Probability that the answer is right."""
    price: float
    money: float
    calls: float
    """Expected number of further calls."""

    def utility(self, value: float) -> float:
        """Where a right answer is worth `value`."""
        return value * self.right - self.price


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known once some tiers have answered."""

    belief: JointBelief
    groups: tuple[Group, ...] = ()
    """The tiers that answered, those with the same answer together; answers that cannot be compared stand alone."""

    @property
    def best(self) -> int | None:
        """The tier whose answer is most likely right, the highest of those that gave it; `None` before the first."""
        answered = [group for group in self.groups if any(tier != SAMPLE for tier in group)]
        if not answered:
            return None
        group = max(answered, key=self._right)
        return max(group)

    @property
    def right(self) -> float:
        """The probability that the best answer is right."""
        return max(map(self._right, self.groups), default=0.0)

    def _right(self, group: Group) -> float:
        return max((self.belief.p(tier) for tier in group if tier != SAMPLE), default=0.0)

    def joined(self, tier: int, place: int, likelihood: Sequence[float]) -> tuple[float, Standing]:
        """After `tier` gave the answer of the group at `place`, or one of its own; with the chance of that."""
        groups = [*self.groups, ()] if place == len(self.groups) else list(self.groups)
        groups[place] = (*groups[place], tier)
        chance, after = self.belief.given(likelihood)
        return chance, Standing(after, tuple(groups))


@dataclass(frozen=True, slots=True)
class Climb:
    """The ladder of one answer: what each tier's answer says of the others, and what a right answer is worth."""

    comparisons: Comparisons
    between: tuple[Cells, ...]
    value: float
    comparable: bool = True
    """Whether two answers to the question can be compared by what they say."""

    def standing(self, ends: Belief, groups: tuple[Group, ...] = ()) -> Standing:
        """Where only the lowest tier has answered, or none."""
        return Standing(JointBelief.of(ends, self.between), groups)

    def next_call(
        self, standing: Standing, calls: Sequence[TierCall], ahead: int | None = None
    ) -> tuple[TierCall | None, Prospect]:
        """The call of the highest expected utility, what may follow it included, or `None` to stop.

        It looks at most `ahead` calls ahead: by default as many as there are, and two on ladders of five or six tiers.
        """
        depth = self._ahead if ahead is None else ahead
        found: TierCall | None = None
        best = Prospect(standing.right, 0.0, 0.0, 0.0)
        for number, call in enumerate(calls):
            most = self.value * (1 - standing.belief.cells[0]) - call.price
            if standing.groups and most <= best.utility(self.value):
                continue  # not even if one of all tiers were always right and known to be
            after = self.call(standing, call, calls[number + 1 :], depth)
            if after.utility(self.value) > best.utility(self.value):
                found, best = call, after
        return found, best

    def way_up(self, calls: Sequence[TierCall], belief: Belief) -> tuple[TierCall, Prospect]:
        """The best call after the lowest tier's answer, worth its price or not; there is one at least."""
        standing = self.standing(belief, ((0,),))
        each = [(call, self.call(standing, call, calls[number + 1 :])) for number, call in enumerate(calls)]
        return max(each, key=lambda found: found[1].utility(self.value))

    def worth_of_going_up(self, calls: Sequence[TierCall], belief: Belief) -> float:
        """The expected utility of that call."""
        return self.way_up(calls, belief)[1].utility(self.value)

    @property
    def _ahead(self) -> int:
        tiers = len(self.between) + 2
        return tiers if tiers <= _EXACT else _AHEAD

    def call(
        self, standing: Standing, call: TierCall, further: Sequence[TierCall] = (), ahead: int | None = None
    ) -> Prospect:
        """What `call` is expected to come to, with the best of the `further` calls after it."""
        depth = self._ahead if ahead is None else ahead
        right, price, money, calls = 0.0, call.price, call.money, 1.0
        for chance, after in self.outcomes(standing, call.tier):
            rest = Prospect(after.right, 0.0, 0.0, 0.0)
            if depth > 1 and further and chance > _NEGLIGIBLE:
                rest = self.next_call(after, further, depth - 1)[1]
            right += chance * rest.right
            price += chance * rest.price
            money += chance * rest.money
            calls += chance * rest.calls
        return Prospect(right, price, money, calls)

    def outcomes(self, standing: Standing, tier: int) -> list[tuple[float, Standing]]:
        """How the answer of `tier` may come out against those that are there, each with its chance."""
        if not standing.groups or not self.comparable:
            return [(1.0, Standing(standing.belief, (*standing.groups, (tier,))))]
        likelihoods = self.comparisons.outcomes(tier, standing.groups)
        return [standing.joined(tier, place, each) for place, each in enumerate(likelihoods)]

    def answered(self, standing: Standing, tier: int, place: int | None) -> Standing:
        """After `tier` did give the answer of the group at `place`; `None`: it cannot be compared."""
        if place is None or not standing.groups:
            return Standing(standing.belief, (*standing.groups, (tier,)))
        return standing.joined(tier, place, self.comparisons.outcomes(tier, standing.groups)[place])[1]
