"""How amounts, counts and times are written for people; JSON always carries the exact values."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepthrift_pricing import Money, Usage

SIGNS = {"USD": "$", "CNY": "¥"}


def money(amount: Money, places: int = 8) -> str:
    """An amount with a fixed number of decimals, e.g. `$0.00120736`; the exact one is in the JSON."""
    rounded = amount.amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    sign = "-" if rounded < 0 else ""
    return f"{sign}{SIGNS[amount.currency]}{abs(rounded):f}"


def limit(amount: Money) -> str:
    """A limit with as many decimals as it was given, two at least: `$5.00`, `$0.0004`."""
    return money(amount, max(2, -int(amount.amount.normalize().as_tuple().exponent)))


def tokens(usage: Usage) -> str:
    """Tokens in one line: `37 prompt (36 hit, 1 miss) · 12 out (8 reasoning)`."""
    prompt = f"{usage.prompt_tokens:,} prompt ({usage.cache_hit_tokens:,} hit, {usage.cache_miss_tokens:,} miss)"
    reasoning = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    mark = "" if usage.certainty == "exact" else f" · {usage.certainty}"
    return f"{prompt} · {usage.completion_tokens:,} out{reasoning}{mark}"


def seconds(value: float) -> str:
    """A duration: `0.42 s`, `12.3 s`, `2 min 05 s`."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def size(count: int) -> str:
    """Bytes as megabytes or gigabytes of a thousand: `98 MB`, `1.2 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def percent(share: float) -> str:
    """A share as a signed percentage: `+34 %`, `-12 %`."""
    return f"{share * 100:+.0f} %"
