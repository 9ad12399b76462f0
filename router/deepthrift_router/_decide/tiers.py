"""What each tier would cost now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepthrift.errors import DeepthriftError, InvalidRequestError
from deepthrift.shared import calls
from deepthrift_pricing import Money, Price, Usage, utc_now
from deepthrift_router._decide.economy import Spread, cost_of, expected_length, length_at_effort
from deepthrift_router._decide.ladder import LadderTier

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_pricing import Mode
    from deepthrift_router._belief.prior import Prior
    from deepthrift_router._calls.call_spec import CallSpec
    from deepthrift_router._calls.request import Request
    from deepthrift_router._decide.history import History
    from deepthrift_router._record.decision import TokenLength


@dataclass(frozen=True, slots=True)
class TierOffer:
    """One way to escalate, with what it costs now."""

    tier: LadderTier
    place: int
    """In the ladder, the lowest tier being 0."""
    first: Spread
    """As the first call."""
    escalation: Spread
    """After a call of the lowest tier on the same prompt, whose prefix is cached as far as was recorded."""
    worst: Money
    price: Price
    length: TokenLength
    recorded: list[Usage]
    seconds: float | None
    """Expected; `None` where too few calls are on record."""

    @property
    def name(self) -> str:
        """As decisions show it."""
        return self.tier.name

    @property
    def client(self) -> AsyncClient:
        """The client that makes its calls."""
        return self.tier.client

    @property
    def mode(self) -> Mode:
        """The mode of its calls."""
        return self.tier.mode


def offer_of(
    tier: LadderTier,
    place: int,
    request: Request,
    prior: Prior,
    history: History,
    cached: float,
    *,
    timed: bool,
) -> TierOffer | str:
    """What `tier` costs, or why it cannot be used for this request.

    Args:
        tier: The tier.
        place: In its ladder.
        request: What is asked of it.
        prior: Lengths where none are on record.
        history: Lengths and seconds on record.
        cached: The share of the prompt that it will find in the cache after a call of the lowest tier.
        timed: Whether seconds matter.

    Raises:
        PriceNotFound: It has no price.
    """
    client = tier.client
    host, prices, mode, model = client.host, client.prices, tier.mode, tier.model
    try:
        spec = request.call(host, mode, effort=tier.effort)
        bound = bound_of(client, spec, request.prepared)
    except InvalidRequestError as error:
        return str(error)
    price = prices.find(host=host.name, model=model, mode=mode, at=utc_now(), currency=bound.worst.currency)
    recorded = history.calls(client.ledger, host, model, mode, spec.options.get("effort"))
    length = expected_length(mode, recorded, prior, bound.max_tokens)
    if tier.effort is not None:
        answer = expected_length("standard", (), prior, bound.max_tokens).expected
        length = length_at_effort(length, tier.effort, answer, bound.max_tokens)
    seconds = history.seconds(client.ledger, host, model, mode) if timed else None
    return TierOffer(
        tier=tier,
        place=place,
        first=cost_of(price, bound.prompt_tokens, length, 0.0),
        escalation=cost_of(price, bound.prompt_tokens, length, cached),
        worst=bound.worst,
        price=price,
        length=length,
        recorded=recorded,
        seconds=seconds,
    )


def bound_of(client: AsyncClient, spec: CallSpec, prepared: calls.Conversations) -> calls.Bound:
    """The most that a call can come to; what is likely is worked out here.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    return calls.bound_of(client, spec.messages, spec.mode, spec.max_tokens, spec.options, prepared)


def offer_or_reason(
    tier: LadderTier,
    place: int,
    request: Request,
    prior: Prior,
    history: History,
    cached: float,
    *,
    timed: bool,
) -> TierOffer | str:
    """What a tier on another endpoint costs, or why it cannot be used, its having no price included."""
    try:
        return offer_of(tier, place, request, prior, history, cached, timed=timed)
    except DeepthriftError as error:
        return f"{type(error).__name__}: {error}"
