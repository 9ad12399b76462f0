"""Which price made a cost, in words and figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._prices.amounts import Bracket
from deepthrift_pricing._prices.price import CALL, Price
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.usage import Usage

_DAYS = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class PriceExplanation(BaseModel):
    """How a cost came about. `str()` of it is a paragraph for a terminal."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    price: Price
    usage: Usage
    cost: Cost
    window: str
    """When the row holds."""
    decision: str
    """Why this row and no other."""
    arithmetic: tuple[str, ...]
    """One line for each kind of token, and the total."""

    def __str__(self) -> str:
        return "\n".join((f"{self.price.id}: {self.window}", self.decision, *self.arithmetic))


def describe_window(price: Price) -> str:
    """When `price` holds, in words."""
    parts: list[str] = []
    if price.valid_from is not None:
        parts.append(f"from {price.valid_from:%Y-%m-%d %H:%M} UTC")
    if price.valid_to is not None:
        parts.append(f"until {price.valid_to:%Y-%m-%d %H:%M} UTC")
    if price.daily is not None:
        parts.append(f"daily {price.daily[0]:%H:%M}-{price.daily[1]:%H:%M} {price.zone}")
    if price.weekdays is not None:
        parts.append("on " + " ".join(_DAYS[day] for day in sorted(price.weekdays)))
    if price.except_dates:
        parts.append("not on " + " ".join(f"{day:%Y-%m-%d}" for day in sorted(price.except_dates)))
    return ", ".join(parts) or "at all times"


def explain_price(
    usage: Usage,
    cost: Cost,
    price: Price,
    found: Sequence[Price],
    candidates: Sequence[Price],
    started_at: datetime,
    ended_at: datetime | None,
) -> PriceExplanation:
    """The explanation of `cost`, which `price` made; `found` are the rows that came into question at the end."""
    moments = f"started {started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if ended_at is not None:
        moments += f", ended {ended_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if len(found) == 2:
        why = f"the start and the end fall under {found[0].id} and {found[1].id}, and it is not published which decides"
        why += "; the dearer is booked"
    elif price.decided_by == "unknown":
        why = "the start and the end fall under the same price"
    else:
        why = f"the {price.decided_by} decides"
    others = len(candidates) - 1
    if others:
        why += f"; {others} other row{'' if others == 1 else 's'} for this model: not in force then, or wider"
    return PriceExplanation(
        price=price,
        usage=usage,
        cost=cost,
        window=describe_window(price),
        decision=f"{moments}: {why}",
        arithmetic=_arithmetic(usage, cost, price),
    )


def _arithmetic(usage: Usage, cost: Cost, price: Price) -> tuple[str, ...]:
    held = next((each for each in reversed(price.brackets) if usage.prompt_tokens > each.above), price)
    hit = held.cache_miss if held.cache_hit is None else held.cache_hit
    hit_name = "cache hit" if held.cache_hit is not None else "cache hit (no own price, billed as a miss)"
    written = usage.cache_write_tokens or 0
    own_write = held.cache_write is not None and bool(written)
    misses = usage.cache_miss_tokens - written if own_write else usage.cache_miss_tokens
    million = Decimal(1_000_000)
    lines = [
        f"{count:,} {name} × {rate:f} ÷ 1,000,000 = {Money.of(count * rate / million, cost.currency).amount:f}"
        for count, name, rate in (
            (usage.cache_hit_tokens, hit_name, hit),
            (misses, "cache miss", held.cache_miss),
            (written if own_write else 0, "written to the cache", held.cache_write or held.cache_miss),
            (usage.completion_tokens, "completion", held.completion),
        )
        if count or name != "written to the cache"
    ]
    if isinstance(held, Bracket):
        lines.insert(
            0, f"{usage.prompt_tokens:,} prompt tokens are more than {held.above:,}: the prices of that bracket"
        )
    if usage.reasoning_tokens:
        lines.append(f"  of them {usage.reasoning_tokens:,} reasoning = {cost.reasoning.amount:f}, counted once")
    calls = {CALL: 1} if CALL in price.per_request and CALL not in usage.requests else {}
    for kind, count in {**calls, **usage.requests}.items():
        if (rate := price.per_request.get(kind)) is not None:
            part = Money.of(count * rate / 1000, cost.currency)
            lines.append(f"{count:,} {kind} × {rate:f} ÷ 1,000 requests = {part.amount:f}")
    return (*lines, f"total {cost}")
