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
    from deepthrift_router._calls.call_spec import Asked
    from deepthrift_router._calls.request import Request
    from deepthrift_router._decide.history import History
    from deepthrift_router._record.decision import TokenLength

RungName: TypeAlias = Literal["thinking", "specialist"]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to escalate, with what it costs now."""

    name: RungName
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
        """Every rung above the first one thinks."""
        return "thinking"


def rung_of(
    name: RungName,
    client: AsyncClient,
    request: Request,
    prior: Prior,
    history: History,
    cached: float | None,
    *,
    timed: bool,
) -> Rung | str:
    """The rung, or why it cannot be used for this request.

    Raises:
        PriceNotFound: It has no price.
    """
    host, prices = client.host, client.prices
    asked = request.thinking(host)
    try:
        bound = bound_of(client, asked)
    except InvalidRequestError as error:
        return str(error)
    model = host.model_for("thinking", client.model)
    price = prices.find(host=host.name, model=model, mode="thinking", at=utc_now(), currency=bound.worst.currency)
    recorded = history.calls(client.ledger, host, model, "thinking")
    length = expected_length("thinking", recorded, prior, bound.max_tokens)
    # Another endpoint's cache knows nothing of the calls made here.
    warm = (cached or 0.0) if name == "thinking" else 0.0
    seconds = history.seconds(client.ledger, host, model, "thinking") if timed else None
    return Rung(
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


def bound_of(client: AsyncClient, asked: Asked) -> calls.Bound:
    """The most that a call can come to; what is likely is worked out here.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    return calls.bound_of(client, asked.messages, asked.mode, asked.max_tokens, asked.options)


def specialist_rung(
    client: AsyncClient | None, request: Request, prior: Prior, history: History, *, timed: bool
) -> Rung | str | None:
    """The specialist's rung, why it cannot be used, or `None` where there is no specialist."""
    if client is None:
        return None
    try:
        return rung_of("specialist", client, request, prior, history, None, timed=timed)
    except DeepthriftError as error:
        return f"{type(error).__name__}: {error}"
