"""Rows that sum up others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from deepthrift_pricing.reports.invoices._amounts import Amount, DecimalMark
from deepthrift_pricing.reports.invoices._layouts import layouts
from deepthrift_pricing.reports.invoices._options import EXACT

_ASIDE: Final = re.compile(r"\s*[(\[（].{0,20}[)\]）]\s*")
_LONGEST: Final = 80
_CENTS: Final = -2
"""A sum with fewer decimals is taken to be exact."""
_NOISE: Final = Decimal("1e-12")
_PUNCTUATION: Final = re.compile(r"[\s:：*=_.,;\-–—#|'\"]+")


Label: TypeAlias = Literal["is", "may be", "payment"]
"""Whether a cell says that its row is a sum, only begins like one that does, or says that it is a payment."""


def label_of(cells: Sequence[str]) -> Label | None:
    """Whether one of these cells calls the row a sum, or a payment."""
    found: Label | None = None
    for cell in cells:
        label = _label(cell) if 0 < len(cell) <= _LONGEST else None
        if label in ("is", "payment"):
            return label
        found = label or found
    return found


@lru_cache(maxsize=4096)
def _label(cell: str) -> Label | None:
    data = layouts()
    text = unicodedata.normalize("NFKC", cell).casefold().strip()
    words = _PUNCTUATION.sub(" ", _ASIDE.sub(" ", text)).strip()
    if words in data.totals.words:
        return "is"
    if words in data.payments.words:
        return "payment"
    return "may be" if text.startswith(data.totals.prefixes) else None


def states(value: Decimal, sums: Iterable[Decimal]) -> bool:
    """Whether a value is one of these sums, rounded to as many decimals as it has, or noisy as binary floats are."""
    exponent = value.as_tuple().exponent
    cents = isinstance(exponent, int) and exponent <= _CENTS
    half = Decimal(5).scaleb(int(exponent) - 1) if cents else Decimal(0)
    return any(abs(EXACT.subtract(value, each)) <= max(half, abs(each) * _NOISE) for each in sums)


class Sums:
    """What sums of the rows so far a row of sums may state, in both readings of their amounts."""

    def __init__(self) -> None:
        self._all: dict[DecimalMark, Decimal] = {".": Decimal(0), ",": Decimal(0)}
        self._part: dict[DecimalMark, Decimal] = {".": Decimal(0), ",": Decimal(0)}

    def add(self, mark: DecimalMark, value: Decimal) -> None:
        """A row that is no sum."""
        self._all[mark] = EXACT.add(self._all[mark], value)
        self._part[mark] = EXACT.add(self._part[mark], value)

    def stated_by(self, amount: Amount | None) -> bool:
        """Whether an amount is the sum of the rows so far, or of those since the last row of sums."""
        return amount is not None and any(
            (value := amount.by(mark)) is not None and states(value, (self._all[mark], self._part[mark]))
            for mark in self._all
        )

    def close(self) -> dict[DecimalMark, tuple[Decimal, Decimal]]:
        """The sum of everything and the sum since the last row of sums; the latter begins anew."""
        found: dict[DecimalMark, tuple[Decimal, Decimal]] = {
            mark: (self._all[mark], self._part[mark]) for mark in self._all
        }
        self._part = dict.fromkeys(self._part, Decimal(0))
        return found

    def everything(self, mark: DecimalMark) -> Decimal:
        """The sum of all rows that are no sums."""
        return self._all[mark]
