"""One price at all times, as the rows of a price book."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias, cast

from pydantic import ValidationError

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.errors import PriceDataError
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing._values.usage import Mode

Amount: TypeAlias = Decimal | str | int


def flat_rows(
    amounts: Mapping[str, Amount | None],
    thinking: Mapping[str, Amount] | None,
    *,
    currency: Currency,
    host: str,
    model: str,
    name: str,
    tier: str = "standard",
    per_request: Mapping[str, Amount] | None = None,
) -> list[Price]:
    """The row, and one for thinking mode where amounts differ there.

    Raises:
        PriceDataError: An amount is not a possible price.
    """
    common = {"currency": currency, "host": host, "models": (model,), "tier": tier, "per_request": per_request or {}}
    rows = [_row(name, amounts, None, common)]
    if thinking is not None:
        if unknown := sorted(set(thinking) - set(amounts)):
            raise PriceDataError(f"thinking: {unknown[0]!r} is none of cache_miss, cache_hit, completion")
        rows.append(_row(f"{name}/thinking", {**amounts, **thinking}, "thinking", common))
    return rows


def _row(name: str, amounts: Mapping[str, Amount | None], mode: Mode | None, common: Mapping[str, object]) -> Price:
    requests = cast("Mapping[str, Amount]", common["per_request"])
    for part, amount in (*amounts.items(), *requests.items()):
        if isinstance(amount, float):
            raise PriceDataError(f"{part}: prices are exact: write '{amount}' as text, not as a float")
    fields = {
        **amounts,
        "id": name,
        **common,
        "mode": mode,
        "source": "given in code",
        "checked": utc_now().date(),
    }
    try:
        return Price.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise PriceDataError(f"{'.'.join(str(part) for part in first['loc']) or name}: {first['msg']}") from error
