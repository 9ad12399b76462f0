"""Which price made a cost, in words and figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.cost import Cost
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
    hit = price.cache_miss if price.cache_hit is None else price.cache_hit
    hit_name = "cache hit" if price.cache_hit is not None else "cache hit (no own price, billed as a miss)"
    lines = [
        f"{count:,} {name} × {rate:f} ÷ 1,000,000 = {part.amount:f}"
        for count, name, rate, part in (
            (usage.cache_hit_tokens, hit_name, hit, cost.cache_hit),
            (usage.cache_miss_tokens, "cache miss", price.cache_miss, cost.cache_miss),
            (usage.completion_tokens, "completion", price.completion, cost.completion),
        )
    ]
    if usage.reasoning_tokens:
        lines.append(f"  of them {usage.reasoning_tokens:,} reasoning = {cost.reasoning.amount:f}, counted once")
    return (*lines, f"total {cost}")
