"""Why there is no price, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import PriceNotFound
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing._values.usage import Mode


def no_price(
    rows: Sequence[Price], host: str, model: str, mode: Mode, at: datetime, currency: Currency, tier: str
) -> PriceNotFound:
    """The error for a request that no row fits, with the nearest thing that there is."""
    known = [row for row in rows if row.host in ("*", host) and row.fits(model.lower())]
    of_host = sorted({name for row in rows if row.host in ("*", host) for name in row.models})
    holding = [row for row in known if row.mode in (None, mode) and row.holds_at(at)]
    if others := sorted({row.currency for row in holding} - {currency}):
        hint = f" There is one in {others[0]}."
    elif tiers := sorted({row.tier for row in holding} - {tier}):
        hint = f" There is one for the tier{'s' if len(tiers) > 1 else ''} {', '.join(map(repr, tiers))}."
    elif ended := sorted(row.valid_to for row in known if row.valid_to is not None and row.valid_to <= at):
        hint = f" Its last known price ended at {ended[-1]:%Y-%m-%d %H:%M} UTC."
    elif of_host:
        hint = f" Known here are {', '.join(of_host[:6])}{', …' if len(of_host) > 6 else ''}."
    else:
        hint = ""
    return PriceNotFound(
        f"no {currency} price for model {model!r} on host {host!r} in {mode} mode at "
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC{'' if tier == 'standard' else f', tier {tier!r}'}.{hint} "
        "Give prices=PriceBook.flat(cache_miss=…, completion=…), PriceBook.load('prices.toml') "
        "or PriceBook.named('brief')."
    )
