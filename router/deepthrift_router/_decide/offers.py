"""What the tiers of a ladder cost now, and how their chances follow from that."""

from __future__ import annotations

from collections.abc import Sequence

from deepthrift_router._belief.prior import Prior, Score
from deepthrift_router._calls.request import Request
from deepthrift_router._decide.climb import Climb
from deepthrift_router._decide.economy import Costs
from deepthrift_router._decide.history import History
from deepthrift_router._decide.ladder import Ladder, LadderTier
from deepthrift_router._decide.tiers import TierOffer, offer_of, offer_or_reason


def offers_of(
    base: LadderTier,
    uppers: Sequence[LadderTier],
    request: Request,
    history: History,
    costs: Costs,
    *,
    timed: bool,
) -> tuple[list[TierOffer], dict[str, str]]:
    """What the tiers above the lowest one cost, and why others cannot be used."""
    tiers: list[TierOffer] = []
    problems: dict[str, str] = {}
    prior = Prior.builtin()
    for place, upper in enumerate(uppers, 1):
        # Another endpoint's cache knows nothing of the calls made here.
        own = upper.shares_cache_with(base)
        cached = (costs.cached_share or 0.0) if own else 0.0
        offer = (offer_of if own else offer_or_reason)(upper, place, request, prior, history, cached, timed=timed)
        if isinstance(offer, str):
            problems[upper.name] = offer
        else:
            tiers.append(offer)
    return tiers, problems


def climb_of(ladder: Ladder, costs: Costs, tiers: Sequence[TierOffer], value: float, score: Score) -> Climb:
    """The way up, by what each tier costs; one that cannot be used is taken to cost what the one below it does."""
    prices = [costs.standard.expected]
    known = {tier.place: tier.first.expected for tier in tiers}
    for place in range(1, len(ladder.tiers)):
        prices.append(known.get(place, prices[-1]))
    between = ladder.between(prices)
    return Climb(ladder.comparisons, score.between if len(score.between) == len(between) else between, value)
