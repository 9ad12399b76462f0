"""Sums in SQL that no total overflows: a 64-bit sum ends at 9,223,372 units of a currency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepthrift_pricing._store.protocol import Value

_BITS: Final = 32
"""A column is summed as its high and its low bits, so 2³¹ rows of any size fit."""


def sum_sql(expression: str) -> str:
    """Two columns, for `sum_of`: the high and the low part of the sum of a 64-bit integer expression."""
    return f"COALESCE(SUM(({expression}) >> {_BITS}), 0), COALESCE(SUM(({expression}) & {2**_BITS - 1}), 0)"


def sum_of(high: Value, low: Value) -> int:
    """The sum whose parts `sum_sql` read. PostgreSQL returns them as `Decimal`."""
    return (int(high or 0) << _BITS) + int(low or 0)


def sums_of(parts: Sequence[Value]) -> list[int]:
    """The sums in a row of several `sum_sql`, one after another."""
    return [sum_of(high, low) for high, low in zip(parts[::2], parts[1::2], strict=True)]
