"""Price books by the name or file that the user gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from deepthrift_pricing import PriceBook

PROFILES: Final = ("brief", "official-2025-09-05", "official-2025-09-29")
"""The named profiles: the project's own yardstick, and what DeepSeek charged for V3.1 and after."""
COMPARISON: Final = "comparison"
"""Models of others, for what a month would have cost elsewhere; never used to bill a call."""


def price_book(name: str, option: str = "--prices") -> PriceBook:
    """The book that `name` stands for: a profile, `builtin`, `comparison`, or a TOML file. `option` said so.

    Raises:
        click.BadParameter: It is none of them.
        PriceDataError: The file is not a valid price file.
    """
    from deepthrift_pricing import PriceBook

    if name == "builtin":
        return PriceBook.builtin()
    if name in PROFILES or name == COMPARISON:
        return PriceBook.named(name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise click.BadParameter(
            f"{name!r} is no price file and none of builtin, {COMPARISON}, {', '.join(PROFILES)}", param_hint=option
        )
    return PriceBook.load(path)
