"""What an attempt cost, split the way it is billed."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, computed_field

from deepthrift_pricing._values.build import build
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Certainty, least_certain


class Cost(BaseModel):
    """A cost and its parts: `cache_hit + cache_miss + completion + requests == total`."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    total: Money
    cache_hit: Money
    """Prompt tokens read from the provider's cache."""
    cache_miss: Money
    """Prompt tokens that were processed."""
    completion: Money
    """Generated tokens, reasoning included: reasoning is billed once, at the output price."""
    reasoning: Money
    """The part of `completion` that was spent on reasoning."""
    certainty: Certainty = "exact"
    price_ids: tuple[str, ...] = ()
    """The price rows that made it, in order of use."""

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def requests(self) -> Money:
        """The part of the total that is billed by request: searches, pages fetched or read by OCR, a fee for a call."""
        return self.total - self.cache_hit - self.cache_miss - self.completion

    @property
    def amount(self) -> Decimal:
        """The total as an exact `Decimal`, in `currency`."""
        return self.total.amount

    @property
    def currency(self) -> Currency:
        """`USD` or `CNY`."""
        return self.total.currency

    def __add__(self, other: Cost) -> Cost:
        return build(
            Cost,
            total=self.total + other.total,
            cache_hit=self.cache_hit + other.cache_hit,
            cache_miss=self.cache_miss + other.cache_miss,
            completion=self.completion + other.completion,
            reasoning=self.reasoning + other.reasoning,
            certainty=least_certain(self.certainty, other.certainty),
            price_ids=tuple(dict.fromkeys(self.price_ids + other.price_ids)),
        )

    @classmethod
    def zero(cls, currency: Currency = "USD") -> Cost:
        """Nothing spent, exactly."""
        nothing = Money(0, currency)
        return cls(total=nothing, cache_hit=nothing, cache_miss=nothing, completion=nothing, reasoning=nothing)

    @classmethod
    def sum(cls, costs: Iterable[Cost], currency: Currency = "USD") -> Cost:
        """The sum of `costs`, or nothing in `currency` when there are none."""
        total: Cost | None = None
        for cost in costs:
            total = cost if total is None else total + cost
        return cls.zero(currency) if total is None else total

    def __str__(self) -> str:
        notes: list[str] = [] if self.certainty == "exact" else [self.certainty]
        if requests := self.requests:
            notes.append(f"{requests} of it for requests")
        return f"{self.total} ({'; '.join(notes)})" if notes else str(self.total)
