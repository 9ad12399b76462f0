"""What an attempt cost, by the price rows, the mode that ran and the service tier that served it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from deepthrift._call.endpoints.target import Target
from deepthrift._types.errors import PriceNotFound
from deepthrift._wire.request.service_tiers import STANDARD
from deepthrift_pricing import Attempt, Certainty, Cost, Mode, Money, Usage, least_certain


def cost_of(
    target: Target, attempt: Attempt, usage: Usage, mode: Mode, *, ended_at: datetime, tier: str | None = None
) -> Cost:
    """The cost of `usage` at the prices of `attempt`'s time, in the mode that ran, else in the one asked for.

    `tier` is the service tier that served it; without a price for that, the one that it asked for stands in, and the
    cost is an estimate. Requests of a kind without a price are left out, and make it one too.
    """
    wanted = attempt.service_tier or STANDARD
    served = wanted if tier is None else tier
    for counted in (usage, usage.model_copy(update={"requests": {}})) if usage.requests else (usage,):
        for name in dict.fromkeys((served, wanted)):
            found = [
                cost
                for each in dict.fromkeys((mode, attempt.mode))
                if (cost := _cost(target, attempt, counted, each, ended_at, name)) is not None
            ]
            if found:
                sure = name == served and counted is usage
                return found[0] if sure else _estimated(found[0])
    # Its price ended while it ran: what was reserved is the best that is known.
    return whole_cost(attempt.reserved, "estimated")


def price_warnings(attempt: Attempt, usage: Usage, cost: Cost, tier: str | None) -> Iterable[str]:
    """What to tell the caller about the price of an attempt, given the service tier that the host reports."""
    wanted = attempt.service_tier or STANDARD
    if tier is not None and tier != wanted and (attempt.service_tier is not None or cost.certainty != "exact"):
        yield f"the service tier {wanted!r} was asked for, and the host says that {tier!r} served the request"
    if any(usage.requests.values()) and not cost.requests:
        kinds = ", ".join(f"{count} {kind}" for kind, count in usage.requests.items() if count)
        yield f"the host reports requests that have no price here, and are not in the cost: {kinds}"


def whole_cost(amount: Money, certainty: Certainty) -> Cost:
    """An amount of which the parts are not known, as a cost."""
    nothing = Money(0, amount.currency)
    return Cost(
        total=amount, cache_hit=nothing, cache_miss=amount, completion=nothing, reasoning=nothing, certainty=certainty
    )


def _cost(target: Target, attempt: Attempt, usage: Usage, mode: Mode, ended_at: datetime, tier: str) -> Cost | None:
    try:
        return target.prices.cost(
            usage,
            host=target.profile.name,
            model=attempt.model,
            mode=mode,
            started_at=attempt.started_at,
            ended_at=ended_at,
            currency=target.currency,
            tier=tier,
        )
    except PriceNotFound:
        return None


def _estimated(cost: Cost) -> Cost:
    return cost.model_copy(update={"certainty": least_certain(cost.certainty, "estimated")})
