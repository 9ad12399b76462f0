"""Prices from the `genai-prices` library, for what no price file here covers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import ValidationError

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import ConfigurationError, PriceNotFound

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, Provider


def genai_layers(provider: str, host: str, today: date) -> list[list[Price]]:
    """The prices of one provider in layers, of which the last that holds wins, as the library has it.

    Raises:
        ConfigurationError: The library is not installed.
        PriceNotFound: It knows no such provider.
    """
    found = _provider(provider)
    from importlib.metadata import version  # not cheap to import, and rarely needed

    source = f"genai-prices {version('genai-prices')}"
    layers: list[list[Price]] = []
    for model in found.models:
        for place, price in enumerate(_prices(model, provider, host, source, today)):
            if place == len(layers):
                layers.append([])
            layers[place].append(price)
    return layers


def _provider(name: str) -> Provider:
    try:
        from genai_prices.data import providers
    except ImportError as error:
        raise ConfigurationError(
            "prices from genai-prices need an extra; install it: pip install 'deepthrift[prices]'"
        ) from error
    for provider in providers:
        if provider.id == name:
            return provider
    known = ", ".join(sorted(provider.id for provider in providers))
    raise PriceNotFound(f"genai-prices knows no provider {name!r}; it knows {known}")


def _prices(model: ModelInfo, provider: str, host: str, source: str, today: date) -> Iterator[Price]:
    """Every price of a model that can be told exactly here: one for each condition, in the library's order."""
    from genai_prices.types import ConditionalPrice as Conditional

    listed = model.prices if isinstance(model.prices, list) else [Conditional(prices=model.prices)]
    for number, conditional in enumerate(listed, 1):
        try:
            amounts = {
                "cache_miss": _dearest(conditional.prices.input_mtok),
                "cache_hit": _dearest(conditional.prices.cache_read_mtok),
                "completion": _dearest(conditional.prices.output_mtok),
            }
            yield Price.model_validate(
                {
                    **amounts,
                    **_condition(conditional),
                    "id": f"genai-prices/{provider}/{model.id}" + (f"/{number}" if len(listed) > 1 else ""),
                    "host": host,
                    "models": (model.id,),
                    "source": source,
                    "checked": today,
                    "decided_by": "unknown",
                    "note": "as the library has it, not compared with the provider; of tiers the dearest",
                }
            )
        except ValidationError:
            continue  # no price for input or output, or one finer or larger than can be: better none than a wrong one


def _dearest(price: object) -> Decimal | None:
    """The price, or the highest of its tiers: what a request costs at most."""
    if price is None or isinstance(price, Decimal):
        return price
    from genai_prices.types import TieredPrices

    return max(price.base, *(tier.price for tier in price.tiers)) if isinstance(price, TieredPrices) else None


def _condition(conditional: ConditionalPrice) -> dict[str, object]:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    constraint = conditional.constraint
    if isinstance(constraint, StartDateConstraint):
        return {"valid_from": datetime.combine(constraint.start_date, time(0), UTC)}
    if isinstance(constraint, TimeOfDateConstraint):
        return {"daily": (_utc(constraint.start_time), _utc(constraint.end_time))}
    return {}


def _utc(at: time) -> time:
    if at.tzinfo is None:
        return at
    return datetime.combine(date(2026, 1, 1), at).astimezone(UTC).time()
