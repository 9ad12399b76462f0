"""Numbers as people write them: signs, separators, fractions, powers of ten, percent, currencies and units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from deepthrift_router._answers.words import numbered

_LONGEST: Final = 120
_LARGEST_EXPONENT: Final = 400

# Factor to the dimension's base unit; several spellings map to one unit.
_UNITS: Final[dict[str, tuple[str, Fraction]]] = {}


def _units(dimension: str, **factors: str) -> None:
    for spellings, factor in factors.items():
        for name in spellings.split("_"):
            _UNITS[name] = (dimension, Fraction(factor))


_units("length", mm_millimeter_millimetre="1/1000", cm_centimeter_centimetre="1/100", m_meter_metre="1")
_units("length", km_kilometer_kilometre="1000", inch_inche="127/5000", ft_foot_feet="381/1250", yd_yard="1143/1250")
_units("length", mi_mile="201168/125")
_units("mass", mg_milligram="1/1000", g_gram="1", kg_kilogram_kilo="1000", lb_pound="45359237/100000")
_units("time", ms_millisecond="1/1000", s_sec_second="1", min_minute="60", h_hr_hour="3600", day="86400", week="604800")
_units("volume", ml_milliliter_millilitre="1/1000", l_liter_litre="1")
_units("angle", deg_degree="1")
_UNITS["°"] = _UNITS["degree"]
_CURRENCIES: Final = {
    spelling: name
    for name, spellings in {
        "usd": "$ us$ usd dollar",
        "eur": "€ eur euro",
        "gbp": "£ gbp",
        "yen": "¥ jpy yen",
        "cny": "cny yuan",
    }.items()
    for spelling in spellings.split()
}
_MAGNITUDES: Final = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORDS: Final = numbered(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty"""
) | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}

_ABOUT = re.compile(r"^(?:about|approximately|approx\.?|around|roughly|exactly|nearly|≈|~|=)\s*")
_NUMBER = re.compile(
    r"""(?P<currency>us\$|[$€£¥])?\s*
    (?P<sign>[-+−])?\s*(?P<currency2>[$€£¥])?\s*
    (?P<body>\d[\d,'\u00a0\u202f ]*(?:\.\d+)?|\.\d+|\d{1,3}(?:\.\d{3})+,\d+)
    (?:\s*/\s*(?P<divisor>\d+(?:\.\d+)?))?
    (?:(?:\s*[x×*]\s*10\s*(?:\^|\*\*)\s*\(?\{?|e)(?P<exponent>[-+−]?\d+)\}?\)?)?
    \s*(?P<unit>%|percent|[a-z°$€£¥µ][a-z°²³/^\d$€£¥µ .]*)?""",
    re.VERBOSE,
)
_GROUPED = re.compile(r"\d{1,3}(?:[,'\u00a0\u202f ]\d{3})+(?:\.\d+)?")
_EUROPEAN = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit. `decimals` is how many decimals were written; `None` for an exact fraction."""

    value: Fraction
    unit: str = ""
    decimals: int | None = 0

    def same(self, other: Quantity) -> bool:
        """Whether both say the same: a unit may be left out, and the coarser rounding (3 digits or more) decides."""
        if self.unit == other.unit or not self.unit or not other.unit:
            if _close(self, other):
                return True
            units = {self.unit, other.unit}
            return units == {"", "%"} and _close(_as_share(self), _as_share(other))
        mine, theirs = _UNITS.get(self.unit), _UNITS.get(other.unit)
        if mine is None or theirs is None or mine[0] != theirs[0]:
            return False
        return self.value * mine[1] == other.value * theirs[1]


def _as_share(quantity: Quantity) -> Quantity:
    if quantity.unit != "%":
        return quantity
    decimals = None if quantity.decimals is None else quantity.decimals + 2
    return Quantity(quantity.value / 100, "", decimals)


def _close(a: Quantity, b: Quantity) -> bool:
    if a.value == b.value:
        return True
    known = [d for d in (a.decimals, b.decimals) if d is not None]
    if not known:
        return False
    places = min(known)
    step = Fraction(1, 10**places)
    coarse = a if a.decimals == places else b
    # Two roundings agree only if the coarser one still says something: 0.95 and 0.9 are not the same answer.
    if places == 0 or abs(coarse.value) < 100 * step:
        return False
    return abs(a.value - b.value) <= step / 2


def parse_quantity(text: str) -> Quantity | None:
    """The number that `text` is, or `None` when it is something else or more than a number."""
    text = _ABOUT.sub("", text.strip().casefold())
    if not text or len(text) > _LONGEST:
        return None
    words = text.replace("-", " ").split()
    if words and words[0] in _WORDS:
        return _from_words(words)
    found = _NUMBER.fullmatch(text)
    return None if found is None else _from_match(found)


def _from_words(words: list[str]) -> Quantity | None:
    value, used = _WORDS[words[0]], 1
    if value >= 20 and len(words) > 1 and 0 < _WORDS.get(words[1], 0) < 10:
        value, used = value + _WORDS[words[1]], 2
    rest = words[used:]
    if len(rest) > 2 or any(word in _WORDS for word in rest):
        return None
    scale, unit = _unit_of(" ".join(rest))
    return None if unit is None else Quantity(Fraction(value * scale), unit, 0)


def _from_match(found: re.Match[str]) -> Quantity | None:
    body = found["body"].strip()
    if _EUROPEAN.fullmatch(body):
        body = body.replace(".", "").replace(",", ".")
    elif _GROUPED.fullmatch(body):
        body = re.sub(r"[,'\u00a0\u202f ]", "", body)
    elif re.search(r"[,'\u00a0\u202f ]", body):
        return None
    exponent = int((found["exponent"] or "0").replace("−", "-"))
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    value = Fraction(body)
    decimals: int | None = max(0, len(body.partition(".")[2]) - exponent) if "." in body or exponent else 0
    if found["divisor"]:
        divisor = Fraction(found["divisor"])
        if divisor == 0:
            return None
        value, decimals = value / divisor, None
    value *= Fraction(10) ** exponent
    if found["sign"] in ("-", "−"):
        value = -value
    scale, unit = _unit_of(found["unit"] or "")
    if unit is None:
        return None
    currency = found["currency"] or found["currency2"]
    if currency:
        if unit and _CURRENCIES.get(currency) != unit:
            return None
        unit = _CURRENCIES[currency]
    if scale != 1:
        value, decimals = value * scale, None
    return Quantity(value, unit, decimals)


def _unit_of(text: str) -> tuple[int, str | None]:
    """A factor and the unit's own name; the unit is `None` when `text` is no unit but further words."""
    words = text.replace(".", " ").split()
    scale = 1
    while words and words[0] in _MAGNITUDES:
        scale *= _MAGNITUDES[words.pop(0)]
    if not words:
        return scale, ""
    if len(words) > 3:
        return scale, None
    name = " ".join(words)
    if name in ("%", "percent", "per cent"):
        return scale, "%"
    if len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith("ss"):
        name = name[:-1]
    for candidate in (name, name.split()[-1]):
        if candidate in _CURRENCIES:
            return scale, _CURRENCIES[candidate]
    if name in _UNITS:
        dimension, factor = _UNITS[name]
        name = next(unit for unit, known in _UNITS.items() if known == (dimension, factor))
    return scale, name
