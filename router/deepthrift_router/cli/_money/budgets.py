"""The budgets that `deepthrift budget` keeps, in a small JSON file beside the default ledger."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from deepthrift.shared.files import held
from deepthrift_router.cli._shared.paths import budgets_file

if TYPE_CHECKING:
    from deepthrift_pricing import Budget, Currency

_FIELDS: Final = ("per", "tags", "host", "model", "mode", "zone", "policy", "name")


def load(path: Path | None = None) -> list[Budget]:
    """The kept budgets, in the order in which they were set; none if the file is not there.

    Raises:
        ConfigurationError: The file is damaged. Spending on while a limit is unreadable would be worse.
    """
    from deepthrift_pricing.errors import ConfigurationError
    from deepthrift_pricing.shared.files import read_text

    place = path or budgets_file()
    try:
        raw: object = json.loads(read_text(place))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the budgets in {place} cannot be read ({error}): mend or delete the file") from error
    if not isinstance(raw, list):
        raise ConfigurationError(f"the budgets in {place} are damaged (no list): mend or delete the file")
    try:
        return [_read(entry) for entry in cast("list[dict[str, object]]", raw)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"the budgets in {place} are damaged ({error}): mend or delete the file") from error


def _read(entry: dict[str, object]) -> Budget:
    from deepthrift_pricing import Budget

    # The file is ours, and Budget checks every value; the names are those of its own arguments.
    settings = cast("dict[str, Any]", {name: entry[name] for name in _FIELDS})
    anchor = entry.get("anchor")
    opened = None if anchor is None else datetime.fromisoformat(str(anchor))
    each = tuple(cast("list[str]", entry.get("each", [])))
    return Budget(
        str(entry["amount"]), currency=cast("Currency", entry["currency"]), anchor=opened, each=each, **settings
    )


@contextlib.contextmanager
def changing(path: Path | None = None) -> Generator[list[Budget]]:
    """The kept budgets, to be changed in place: they are kept at the end, and no other process changes them meanwhile.

    Raises:
        ConfigurationError: The file is damaged.
        OSError: The file cannot be written; what was kept stays.
    """
    place = path or budgets_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    with held(place.with_suffix(".lock")):
        budgets = load(place)
        yield budgets
        _save(budgets, place)


def _save(budgets: Sequence[Budget], place: Path) -> None:
    """Keep `budgets` in place of what was kept; either all is written or nothing."""
    fresh = place.with_suffix(f".{os.getpid()}.new")
    entries = [
        {
            "amount": f"{budget.limit.amount:f}",
            "currency": budget.currency,
            "anchor": None if budget.anchor is None else budget.anchor.isoformat(),
            **budget.model_dump(mode="json", include={*_FIELDS, "each"}),
        }
        for budget in budgets
    ]
    try:
        fresh.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)
