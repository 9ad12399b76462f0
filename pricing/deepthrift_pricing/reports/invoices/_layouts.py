"""The exports that are known by their own columns, and the names that columns go by in others."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Tokens: TypeAlias = Literal["long", "wide"]
"""Numbers of tokens: one row for each type, or one column for each."""

_JOINS: Final = re.compile(r"[\s_\-]+")
_DROPPED: Final = "'\"`\ufeff\u200b \t\r\n"


class Layout(BaseModel):
    """Where an export holds what; see `layouts.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    needs: tuple[str, ...]
    one_of: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    amount: str = ""
    currency: tuple[str, ...] = ()
    fixed_currency: str | None = None
    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    host: str | None = None
    exclusive: bool = False
    tokens: Tokens | None = None

    def fits(self, names: Collection[str]) -> bool:
        """Whether a file with these columns has the layout."""
        return (
            all(name in names for name in self.needs)
            and (not self.one_of or any(name in names for name in self.one_of))
            and not any(name in names for name in self.without)
        )


class General(BaseModel):
    """Names of columns in other files, in the order in which they are looked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: tuple[str, ...]
    parts: tuple[str, ...]
    currency: tuple[str, ...]
    date: tuple[str, ...]
    end: tuple[str, ...]
    model: tuple[str, ...]
    prompt: tuple[str, ...]
    cached: tuple[str, ...]
    completion: tuple[str, ...]
    kind: tuple[str, ...]
    price: tuple[str, ...]


class Payments(BaseModel):
    """What rows are called that pay into the account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: frozenset[str]


class Totals(BaseModel):
    """What rows of sums are called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: frozenset[str]
    prefixes: tuple[str, ...]


class Layouts(BaseModel):
    """The data of `layouts.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: tuple[Layout, ...]
    general: General
    payments: Payments
    totals: Totals

    def of(self, names: Collection[str]) -> Layout | None:
        """The layout of a file with these columns; the one that needs most, where several fit."""
        fitting = [layout for layout in self.layout if layout.fits(names)]
        return max(fitting, key=lambda layout: len(layout.needs), default=None)


@lru_cache(maxsize=1)
def layouts() -> Layouts:
    """What is known of invoices."""
    text = files("deepthrift_pricing.reports.invoices").joinpath("layouts.toml").read_text("utf-8")
    return Layouts.model_validate(tomllib.loads(text))


def key_of(name: str) -> str:
    """A column's name for comparing: without regard to case, width, spaces, hyphens and underscores."""
    plain = unicodedata.normalize("NFKC", name).strip(_DROPPED).casefold()
    return _JOINS.sub("_", plain)


def first_of(names: Mapping[str, int], wanted: tuple[str, ...]) -> int | None:
    """The place of the first of the wanted columns that is there."""
    return next((names[name] for name in wanted if name in names), None)
