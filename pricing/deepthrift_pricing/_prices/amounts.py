"""The amounts that a price row may hold, checked: per million tokens, per thousand requests, and by prompt length."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt, model_validator

_HIGHEST: Final = Decimal(1000)
_LOWEST: Final = Decimal("0.0001")
_KIND_LENGTH: Final = 64


def _per_million(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("a price is a finite number")
    if value < 0 or (0 < value < _LOWEST) or value > _HIGHEST:
        raise ValueError(
            f"{value} cannot be a price per million tokens (0, or {_LOWEST} to {_HIGHEST}); "
            "is it per token or per thousand?"
        )
    if value != value.quantize(Decimal("0.000001")):
        raise ValueError(f"{value} has more than six decimals, the finest price that is exact per token")
    return value


def _per_thousand(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("a price is a finite number")
    if value < 0 or (0 < value < _LOWEST) or value > _HIGHEST:
        raise ValueError(
            f"{value} cannot be a price per 1,000 requests (0, or {_LOWEST} to {_HIGHEST}); is it per request?"
        )
    if value != value.quantize(Decimal("0.000000001")):
        raise ValueError(f"{value} has more than nine decimals, the finest price that is exact per request")
    return value


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
        if self.cache_hit is not None and self.cache_hit > self.cache_miss:
            raise ValueError(f"a cache hit ({self.cache_hit}) cannot cost more than a miss ({self.cache_miss})")
        return self

    @cached_property
    def pico(self) -> TokenPico:
        """Cost of one token in 10⁻¹² of the currency: cache hit, cache miss, completion."""
        return token_pico(self.cache_hit, self.cache_miss, self.completion)

    @cached_property
    def write_pico(self) -> int:
        """Cost of one prompt token that is written to the cache, in 10⁻¹² of the currency."""
        return int((self.cache_miss if self.cache_write is None else self.cache_write).scaleb(6))


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
