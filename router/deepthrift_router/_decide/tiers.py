"""What an answer can be escalated to: thinking, and a specialist on another endpoint, as one kind of thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from deepthrift.errors import DeepthriftError, InvalidRequestError
from deepthrift.shared import calls
from deepthrift_pricing import Mode, Money, Price, Usage, utc_now
from deepthrift_router._decide.economy import Spread, cost_of, expected_length

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._belief.prior import Prior
    from deepthrift_router._calls.call_spec import CallSpec
    from deepthrift_router._calls.request import Request
    from deepthrift_router._decide.history import History
    from deepthrift_router._record.decision import TokenLength

TierName: TypeAlias = Literal["thinking", "specialist"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One way to escalate, with what it costs now."""

    name: TierName
    client: AsyncClient
    first: Spread
    """As the first call."""
    escalation: Spread
    """After a standard call on the same prompt, whose prefix is cached as far as was recorded."""
    worst: Money
    price: Price
    length: TokenLength
    recorded: list[Usage]
    seconds: float | None
    """Expected; `None` where too few calls are on record."""

    @property
    def mode(self) -> Mode:
        """Every tier above the first one thinks."""
        return "thinking"


def rung_of(
    name: TierName,
    client: AsyncClient,
    request: Request,
    prior: Prior,
    history: History,
    cached: float | None,
    *,
    timed: bool,
) -> Tier | str:
    """The tier, or why it cannot be used for this request.

    Raises:
        PriceNotFound: It has no price.
    """
    host, prices = client.host, client.prices
    spec = request.thinking(host)
    try:
        bound = bound_of(client, spec, request.prepared)
    except InvalidRequestError as error:
        return str(error)
    model = host.model_for("thinking", client.model)
    price = prices.find(host=host.name, model=model, mode="thinking", at=utc_now(), currency=bound.worst.currency)
    recorded = history.calls(client.ledger, host, model, "thinking")
    length = expected_length("thinking", recorded, prior, bound.max_tokens)
    # Another endpoint's cache knows nothing of the calls made here.
    warm = (cached or 0.0) if name == "thinking" else 0.0
    seconds = history.seconds(client.ledger, host, model, "thinking") if timed else None
    return Tier(
        name=name,
        client=client,
        first=cost_of(price, bound.prompt_tokens, length, 0.0),
        escalation=cost_of(price, bound.prompt_tokens, length, warm),
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


def specialist_rung(
    client: AsyncClient | None, request: Request, prior: Prior, history: History, *, timed: bool
) -> Tier | str | None:
    """The specialist's tier, why it cannot be used, or `None` where there is no specialist."""
    if client is None:
        return None
    try:
        return rung_of("specialist", client, request, prior, history, None, timed=timed)
    except DeepthriftError as error:
        return f"{type(error).__name__}: {error}"
