"""Which column holds what: by a known layout, then by general names, and first by what the user says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.reports.invoices._amounts import amount_of, currency_code
from deepthrift_pricing.reports.invoices._layouts import General, Layout, Tokens, first_of, key_of, layouts

_CODES: Final = frozenset(
    ("USD", "CNY", "EUR", "GBP", "JPY", "INR", "AUD", "CAD", "HKD", "SGD", "KRW", "TWD", "CHF", "BRL", "RUB", "TRY")
)
_SIGN: Final = r"us\$|cn¥|[$¥€£元]|人民币|美元"
_AFTER: Final = re.compile(rf"(?P<base>.+?)(?:_in)?_?(?P<open>[(\[]?)_?(?P<unit>[a-z]{{3}}|{_SIGN})_?[)\]]?")
_BEFORE: Final = re.compile(rf"(?P<unit>[a-z]{{3}}|{_SIGN})_(?P<open>)(?P<base>.+)")
_SMALL: Final = re.compile(r"(?:^|_|\()(?:cents?|minor|micros?|mills?|分|厘)(?:$|_|\))|minor_units?")
"""Parts of a unit, in names of columns."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of cells in a row."""

    layout: str
    amount: int
    amount_name: str
    currency: int | None = None
    fixed_currency: str | None = None
    """From the layout, or from the name of the column: `cost_usd`."""
    start: int | None = None
    end: int | None = None
    tokens: Tokens | None = None
    host: str | None = None
    exclusive: bool = False
    known: bool = True
    """Whether the layout is a known one, whose moments without a zone are in UTC."""


class Chooser:
    """Chooses the columns of a table."""

    def __init__(self, column: str | None) -> None:
        self._column = None if column is None else key_of(column)
        self._said = column
        self._data = layouts()

    def rank(self, header: Sequence[str]) -> int:
        """How much a row looks like a header."""
        names = {key_of(cell) for cell in header}
        if self._column is not None:
            return 4 if self._column in names else 0
        if self._data.of(names) is not None:
            return 3
        if any(amount_of(cell) is not None for cell in header):  # "Total,12.50" above the table
            return 0
        if self._candidates(header):
            return 2 if len(names) > 1 else 1
        return 1 if self._is_tokens(names) else 0

    def choose(self, header: Sequence[str], where: str) -> Columns:
        """The columns below a header.

        Raises:
            ConfigurationError: Several columns may be the one of amounts, or the one named holds numbers of tokens.
        """
        names: dict[str, int] = {}
        for place, cell in enumerate(header):
            names.setdefault(key_of(cell), place)
        general = self._data.general
        layout = self._data.of(names)
        if layout is not None and layout.tokens is not None:
            return self._tokens(header, names, layout, where)
        amount, unit = self._amount(header, names, layout, where)
        if amount is None:
            return self._wide(names)
        if layout is None:
            self._refuse_quantities(header, names, amount, unit, general, where)
            part = first_of(names, general.parts)
            if part is not None and self._column is None:
                raise ConfigurationError(
                    f"{where}: {header[part].strip()!r} may belong to what {header[amount].strip()!r} leaves out; name "
                    "the column that was billed"
                )
        currency = first_of(names, layout.currency if layout else general.currency)
        return Columns(
            layout=layout.name if layout else "general",
            amount=amount,
            amount_name=header[amount].strip(),
            currency=currency if currency != amount else None,
            fixed_currency=unit or (layout.fixed_currency if layout else None),
            start=first_of(names, layout.start if layout else general.date),
            end=first_of(names, layout.end if layout else general.end),
            exclusive=layout is not None and layout.exclusive,
            known=layout is not None,
        )

    def _amount(
        self, header: Sequence[str], names: dict[str, int], layout: Layout | None, where: str
    ) -> tuple[int | None, str | None]:
        if self._column is not None:
            place = names[self._column]
            self._refuse_twice(header, self._column, where)
            if "token" in self._column:
                raise ConfigurationError(f"{where}: the column {self._said!r} holds numbers of tokens, not money")
            if _SMALL.search(self._column):
                raise ConfigurationError(
                    f"{where}: the column {self._said!r} is not in whole units of a currency; add it up elsewhere, "
                    "and give the amount"
                )
            return place, _split(self._column)[1]
        if layout is not None:
            self._refuse_twice(header, layout.amount, where)
            return names[layout.amount], None
        candidates = self._candidates(header)
        if len(candidates) > 1:
            several = ", ".join(repr(header[place].strip()) for place, _ in candidates)
            raise ConfigurationError(f"{where}: {several} may all be the column of amounts; name the right one")
        return candidates[0] if candidates else (None, None)

    def _candidates(self, header: Sequence[str]) -> list[tuple[int, str | None]]:
        found: list[tuple[int, str | None]] = []
        for place, cell in enumerate(header):
            name = key_of(cell)
            base, unit = _split(name)
            if name in self._data.general.amount:
                found.append((place, None))
            elif unit is not None and base in self._data.general.amount:
                found.append((place, unit))
        return found

    def _is_tokens(self, names: set[str]) -> bool:
        general = self._data.general
        return not names.isdisjoint(general.prompt) and not names.isdisjoint(general.completion)

    def _tokens(self, header: Sequence[str], names: dict[str, int], layout: Layout, where: str) -> Columns:
        if self._column is not None and (self._column != layout.amount or not layout.amount):
            raise ConfigurationError(
                f"{where}: {layout.name} holds numbers of tokens; {self._said!r} is no sum of money"
            )
        return Columns(
            layout=layout.name,
            amount=names.get(layout.amount, -1),
            amount_name=layout.amount,
            start=first_of(names, layout.start),
            end=first_of(names, layout.end),
            tokens=layout.tokens,
            host=layout.host,
            exclusive=layout.exclusive,
        )

    def _wide(self, names: dict[str, int]) -> Columns:
        general = self._data.general
        return Columns(
            layout="tokens",
            amount=-1,
            amount_name="",
            start=first_of(names, general.date),
            end=first_of(names, general.end),
            tokens="wide",
            known=False,
        )

    @staticmethod
    def _refuse_twice(header: Sequence[str], name: str, where: str) -> None:
        if sum(key_of(cell) == name for cell in header) > 1:
            raise ConfigurationError(f"{where}: two columns are called {name!r}; rename the one that is not the amount")

    @staticmethod
    def _refuse_quantities(
        header: Sequence[str], names: dict[str, int], amount: int, unit: str | None, general: General, where: str
    ) -> None:
        """`amount` beside `price` is a quantity, and adding quantities up says nothing about money."""
        if key_of(header[amount]) == "amount" and unit is None and first_of(names, general.price) is not None:
            raise ConfigurationError(
                f"{where}: {header[amount].strip()!r} beside a price may be a quantity; name the column of money"
            )


def _split(name: str) -> tuple[str, str | None]:
    """The name of a column without its unit, and the code of the unit: `cost_usd`, `cost_($)`, `usd_cost`."""
    for pattern in (_AFTER, _BEFORE):
        found = pattern.fullmatch(name)
        if found is not None:
            code = currency_code(found["unit"])
            if code in _CODES or found["open"]:  # in brackets every code counts, to be refused if it is not known
                return found["base"].strip("_"), code
    return name, None
