"""Amounts as invoices write them: `$1,234.50`, `1.234,50 €`, `(2.50)`, `-$2.50`, `1.7660000000000002e-05`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

DecimalMark: TypeAlias = Literal[".", ","]
"""What stands in front of the decimals."""

_LONGEST: Final = 100
_HIGHEST: Final = Decimal(10**15)
_HIDDEN: Final = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069\ufeff"))
_UNITS: Final = {
    "us$": "USD", "$": "USD", "usd": "USD", "美元": "USD", "us dollar": "USD", "us dollars": "USD", "dollar": "USD",
    "dollars": "USD", "rmb": "CNY", "cny": "CNY", "cn¥": "CNY", "¥": "CNY", "元": "CNY", "人民币": "CNY", "yuan": "CNY",
    "renminbi": "CNY", "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "r$": "BRL",
    "hk$": "HKD", "a$": "AUD", "au$": "AUD", "c$": "CAD", "ca$": "CAD", "nt$": "TWD", "s$": "SGD", "jp¥": "JPY",
    "円": "JPY", "chf": "CHF",
}  # fmt: skip
_SIGN: Final = r"[-+\u2212]"
_UNIT: Final = "|".join(sorted((re.escape(unit) for unit in _UNITS), key=len, reverse=True)) + "|[a-z]{3}"
_FRONT: Final = re.compile(rf"^(?:(?P<unit>{_UNIT})|(?P<sign>{_SIGN}))\s*", re.IGNORECASE)
_BACK: Final = re.compile(rf"\s*(?:(?P<unit>{_UNIT})|(?P<sign>[-\u2212]))$", re.IGNORECASE)
_TEXT_MARK: Final = re.compile(r"^'(?=[-+=(@.\d])")
"""The apostrophe by which a spreadsheet keeps a cell as text."""


def _pattern(decimal: str, groups: str) -> re.Pattern[str]:
    grouped = "|".join(rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+" for group in groups.split("/"))
    if decimal == ".":
        grouped += r"|[1-9]\d?(?:,\d{2})+,\d{3}"  # 1,23,456.78 in India
    mark = re.escape(decimal)
    return re.compile(
        rf"(?:(?P<whole>{grouped}|\d+)(?:{mark}(?P<part>\d*))?|{mark}(?P<only>\d+))(?:[eE](?P<power>[-+]?\d{{1,3}}))?"
    )


_PATTERNS: Final[dict[DecimalMark, re.Pattern[str]]] = {
    ".": _pattern(".", r",/ /'/\u2019"),
    ",": _pattern(",", r"\./ /'/\u2019"),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A cell, with and without a comma for the decimal mark."""

    point: Decimal | None
    """The value if decimals follow a point; `None` where it cannot be read so."""
    comma: Decimal | None
    currency: str | None
    """The code of the unit that the cell names, if it names one."""

    def by(self, mark: DecimalMark) -> Decimal | None:
        """The value if decimals follow `mark`."""
        return self.point if mark == "." else self.comma


def amount_of(cell: str) -> Amount | None:
    """What a cell says, or `None` if it is no amount."""
    if not cell.isascii() and any(unicodedata.category(char) == "No" for char in cell):  # "5²" is no 52
        return None
    text = _TEXT_MARK.sub("", unicodedata.normalize("NFKC", cell).translate(_HIDDEN).strip())
    if len(text) > _LONGEST:
        return None
    stripped = _without_units(text)
    if stripped is None:
        return None
    body, negative, currency = stripped
    point, comma = (_value(body, mark, negative) for mark in (".", ","))
    return None if point is None and comma is None else Amount(point, comma, currency)


def currency_code(text: str) -> str:
    """The code of a currency by its code, sign or name; what is unknown comes back in capitals."""
    plain = unicodedata.normalize("NFKC", text).strip(" '\"").casefold()
    return _UNITS.get(plain, plain.upper())


def _without_units(text: str) -> tuple[str, bool, str | None] | None:
    """The digits, whether the amount is below zero, and its currency: each of sign and unit once at most."""
    negative = False
    signed = False
    currency: str | None = None
    while True:
        if text.startswith("(") and text.endswith(")") and not signed:
            text, negative, signed = text[1:-1].strip(), True, True
            continue
        found = _FRONT.match(text) or _BACK.search(text)
        if found is None:
            return text, negative, currency
        if found["unit"] is not None:
            code = currency_code(found["unit"])
            if currency is not None and code != currency:  # "$5 USD" says it twice
                return None
            currency = code
        elif signed:
            return None
        else:
            negative, signed = found["sign"] != "+", True
        text = text[: found.start()] if found.start() else text[found.end() :]


def _value(body: str, mark: DecimalMark, negative: bool) -> Decimal | None:
    found = _PATTERNS[mark].fullmatch(body)
    if found is None:
        return None
    whole = re.sub(r"\D", "", found["whole"] or "0")
    part = found["part"] or found["only"] or ""
    value = Decimal(f"{whole}.{part}E{found['power'] or '0'}")
    if abs(value) > _HIGHEST:
        return None
    return -value if negative else value
