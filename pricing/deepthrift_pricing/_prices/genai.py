"""Prices from the `genai-prices` library, for what no price file here covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from deepthrift_pricing._prices.price import CALL, Price
from deepthrift_pricing._values.errors import ConfigurationError, PriceNotFound

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, PriceVariant, Provider, StartDateConstraint, TimeOfDateConstraint

_TOKENS: Final = {
    "input_mtok": "cache_miss",
    "cache_read_mtok": "cache_hit",
    "cache_write_mtok": "cache_write",
    "output_mtok": "completion",
}
_REQUESTS: Final = {"requests_kcount": CALL, "web_searches_kcount": "search", "storage_searches_kcount": "file_search"}
"""Amounts per 1,000 requests, and the kinds as which they're counted here."""
_FINEST: Final = Decimal("0.000001")
_LONG_WRITE: Final = "cache_write_1h_mtok"
"""What is kept in a cache for an hour; a usage doesn't say how long."""
_OTHERS: Final = {"audio", "image", "video", "document"}
"""Prices of what isn't text."""
_TIERS: Final = ("service_tier", "processing")
"""What a variant of a price may depend on that a call can ask for."""


def genai_layers(provider: str, host: str, today: date) -> list[list[Price]]:
    """The prices of one provider in layers, of which the last that holds wins, as the library has it.

    Raises:
        ConfigurationError: The library is not installed.
        PriceNotFound: It knows no such provider.
    """
    found = _provider(provider)
    from importlib.metadata import version  # not cheap to import, and rarely needed

    source = f"genai-prices {version('genai-prices')}"
    layers: dict[tuple[int, int], list[Price]] = {}
    for model in found.models:
        made: list[tuple[tuple[int, int], Price]] = []
        wrong: set[object] = set()
        for layer, fields in _rows(model):
            fields |= {
                "id": f"genai-prices/{provider}/{model.id}{fields['id']}",
                "host": host,
                "models": (model.id,),
                "source": source,
                "checked": today,
                "decided_by": "unknown",
                "note": "as the library has it, not compared with the provider",
            }
            try:
                made.append((layer, Price.model_validate(fields)))
            except ValidationError:
                # No price for input or output, or one larger than can be. Without it an older price would seem to hold
                # still, so none of the model's prices at that tier is taken: none beats a wrong one.
                wrong.add(fields.get("tier", "standard"))
        for layer, price in made:
            if price.tier not in wrong:
                layers.setdefault(layer, []).append(price)
    return [layers[layer] for layer in sorted(layers)]


class GenaiNames:
    """The library's own matching of model names: `gpt-4o-2024-08-06` is `gpt-4o`."""

    def __init__(self, provider: str) -> None:
        self._name = provider

    def __call__(self, model: str) -> str | None:
        """The id of the model that `model` names, in lower case, or `None`."""
        return _matched(self._name, model)


@lru_cache(maxsize=1024)
def _matched(provider: str, model: str) -> str | None:
    found = _provider(provider).find_model(model)
    return None if found is None else found.id.lower()


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


def _rows(model: ModelInfo) -> Iterator[tuple[tuple[int, int], dict[str, object]]]:
    """Every price of a model, with the layer in which it takes its turn: one for each condition, the last one first in
    line, and above each those of service tiers, of which the library takes the first that holds."""
    from genai_prices.types import ConditionalPrice

    listed = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    for place, each in enumerate(listed):
        number = f"/{place + 1}" if len(listed) > 1 else ""
        # The first one also holds where no condition is met.
        condition = {} if place == 0 else _condition(each.constraint)
        held = {key: value for key, value in each.prices.__dict__.items() if value is not None}
        yield (place, 0), {"id": number, **_of(held), **condition}
        for rank, variant in enumerate(model.price_variants or (), 1):
            if (row := _at_tier(variant, held, condition)) is not None:
                yield (place, -rank), {"id": f"{number}/{row['tier']}/{rank}", **row}


def _at_tier(
    variant: PriceVariant, base: Mapping[str, object], condition: Mapping[str, object]
) -> dict[str, object] | None:
    """The price of a service tier, which changes parts of another price, from its own day on; `None` if it isn't one.

    Prices of a region, a route or a speed are left out: a call doesn't ask for those here.
    """
    name = next((name for name in _TIERS if name in variant.when), None)
    changes = {key: value for key, value in variant.prices.__dict__.items() if value is not None}
    if name is None or len(variant.when) != 1 or variant.when[name] in ("default", "standard") or not changes:
        return None
    own = _condition(variant.constraint)
    if "daily" in own or ("daily" in condition and own):
        return None  # two conditions that one row can't hold
    begins = [at for at in (own.get("valid_from"), condition.get("valid_from")) if isinstance(at, datetime)]
    row = {**_of({**base, **changes}), **condition, "tier": variant.when[name]}
    return row | ({"valid_from": max(begins)} if begins else {})


def _of(prices: Mapping[str, object]) -> dict[str, object]:
    """The amounts of a row: of the shortest prompts, of longer ones in brackets, and of requests.

    Tokens of audio, images and video are left out: a usage here has tokens of text, and `parse_usage` marks one that
    reports others as estimated.
    """
    rounded = [key for key, price in prices.items() if key in (*_TOKENS, _LONG_WRITE) and _too_fine(price)]
    starts = sorted({start for key in (*_TOKENS, _LONG_WRITE) for start in _starts(prices.get(key))})
    requests = {kind: price for key, kind in _REQUESTS.items() if isinstance(price := prices.get(key), Decimal)}
    unknown = [
        key for key in prices if key not in (*_TOKENS, *_REQUESTS, _LONG_WRITE) and not _OTHERS & set(key.split("_"))
    ]
    return {
        **_at(prices, -1),
        "brackets": [{"above": start, **_at(prices, start)} for start in starts],
        "per_request": requests,
        "cache_write_varies": _LONG_WRITE in prices,
        "certainty": "estimated" if unknown or rounded else "exact",
    }


def _at(prices: Mapping[str, object], length: int) -> dict[str, object]:
    """The amounts for prompts of more tokens than `length`; -1 for the shortest."""
    found: dict[str, object] = {
        part: price for key, part in _TOKENS.items() if (price := _price_at(prices.get(key), length)) is not None
    }
    if (hour := _price_at(prices.get(_LONG_WRITE), length)) is not None:
        short = _price_at(prices.get("cache_write_mtok"), length)
        found["cache_write"] = hour if short is None else max(hour, short)
    return found


def _starts(price: object) -> list[int]:
    from genai_prices.types import TieredPrices

    return [tier.start for tier in price.tiers] if isinstance(price, TieredPrices) else []


def _price_at(price: object, length: int) -> Decimal | None:
    from genai_prices.types import TieredPrices

    if isinstance(price, TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if tier.start <= length), price.base)
    return price.quantize(_FINEST, ROUND_CEILING) if isinstance(price, Decimal) else None


def _too_fine(price: object) -> bool:
    """Whether a price has more decimals than are exact per token, and is rounded up."""
    from genai_prices.types import TieredPrices

    amounts = [price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price]
    return any(isinstance(each, Decimal) and each != each.quantize(_FINEST, ROUND_CEILING) for each in amounts)


def _condition(constraint: StartDateConstraint | TimeOfDateConstraint | None) -> dict[str, object]:
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    if isinstance(constraint, StartDateConstraint):
        return {"valid_from": datetime.combine(constraint.start_date, time(0), UTC)}
    if isinstance(constraint, TimeOfDateConstraint):
        return {"daily": (_utc(constraint.start_time), _utc(constraint.end_time))}
    return {}


def _utc(at: time) -> time:
    if at.tzinfo is None:
        return at
    return datetime.combine(date(2026, 1, 1), at).astimezone(UTC).time()
