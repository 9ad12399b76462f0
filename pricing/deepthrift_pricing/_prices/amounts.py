"""The amounts that a price row may hold, checked: per million tokens, per thousand requests, and by prompt length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt, model_validator

_HIGHEST: Final = Decimal(1000)
_LOWEST: Final = Decimal("0.0001")
_KIND_LENGTH: Final = 64


def _price_per(units: str, question: str, finest: str, decimals: str, unit: str) -> Callable[[Decimal], Decimal]:
    """A check of prices: finite, in the range of real ones, and exact for one token or request."""

    def check(value: Decimal) -> Decimal:
        if not value.is_finite():
            raise ValueError("a price is a finite number")
        if value < 0 or (0 < value < _LOWEST) or value > _HIGHEST:
            raise ValueError(f"{value} cannot be a price per {units} (0, or {_LOWEST} to {_HIGHEST}); {question}")
        if value != value.quantize(Decimal(finest)):
            raise ValueError(f"{value} has more than {decimals} decimals, the finest price that is exact per {unit}")
        return value

    return check


_per_million = _price_per("million tokens", "is it per token or per thousand?", "0.000001", "six", "token")
_per_thousand = _price_per("1,000 requests", "is it per request?", "0.000000001", "nine", "request")

PerMillion: TypeAlias = Annotated[Decimal, AfterValidator(_per_million)]
"""A price in whole units of a currency per 1,000,000 tokens."""

PerThousand: TypeAlias = Annotated[Decimal, AfterValidator(_per_thousand)]
"""A price in whole units of a currency per 1,000 requests."""

TokenPico: TypeAlias = tuple[int, int, int]
"""What one token costs in 10⁻¹² of the currency: cache hit, cache miss, completion."""


class Bracket(BaseModel):
    """The prices of a row for long prompts: those of the longest bracket that a prompt exceeds hold for all tokens."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid", validate_default=True)

    above: NonNegativeInt
    """It holds for prompts of more tokens than this, cached ones included."""
    cache_hit: PerMillion | None = None
    """`None`: billed as a miss."""
    cache_miss: PerMillion
    cache_write: PerMillion | None = None
    """`None`: billed as a miss."""
    completion: PerMillion

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        check_hit(self.cache_hit, self.cache_miss)
        return self

    @cached_property
    def pico(self) -> TokenPico:
        """Cost of one token in 10⁻¹² of the currency: cache hit, cache miss, completion."""
        return token_pico(self.cache_hit, self.cache_miss, self.completion)

    @cached_property
    def write_pico(self) -> int:
        """Cost of one prompt token that is written to the cache, in 10⁻¹² of the currency."""
        return write_pico(self.cache_write, self.cache_miss)


def check_hit(cache_hit: Decimal | None, cache_miss: Decimal) -> None:
    """Nothing, if cached tokens cost no more than others.

    Raises:
        ValueError: They do.
    """
    if cache_hit is not None and cache_hit > cache_miss:
        raise ValueError(f"a cache hit ({cache_hit}) cannot cost more than a miss ({cache_miss})")


def write_pico(cache_write: Decimal | None, cache_miss: Decimal) -> int:
    """A price per million tokens written to the cache as an exact integer per token."""
    return int((cache_miss if cache_write is None else cache_write).scaleb(6))


def token_pico(cache_hit: Decimal | None, cache_miss: Decimal, completion: Decimal) -> TokenPico:
    """Prices per million tokens as exact integers per token."""
    hit = cache_miss if cache_hit is None else cache_hit
    return int(hit.scaleb(6)), int(cache_miss.scaleb(6)), int(completion.scaleb(6))


def check_brackets(brackets: tuple[Bracket, ...]) -> tuple[Bracket, ...]:
    """`brackets` in ascending order.

    Raises:
        ValueError: Two begin at the same length.
    """
    ordered = tuple(sorted(brackets, key=lambda bracket: bracket.above))
    if len({bracket.above for bracket in ordered}) < len(ordered):
        raise ValueError("two brackets begin at the same prompt length; give each its own `above`")
    return ordered


def check_kinds(prices: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """`prices`, if its keys can be kinds of requests.

    Raises:
        ValueError: One cannot.
    """
    for kind in prices:
        if not kind.isidentifier() or not kind.isascii() or len(kind) > _KIND_LENGTH:
            raise ValueError(f"{kind!r} is not a kind of request; use letters, digits and '_', such as search")
    return prices
