"""The budgets that `deepthrift budget` keeps, in a small JSON file beside the default ledger."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from deepthrift.cli._paths import budgets_file

if TYPE_CHECKING:
    from deepthrift_pricing import Budget

_FIELDS: Final = ("tags", "host", "model", "mode", "zone", "policy", "name")


def load(path: Path | None = None) -> list[Budget]:
    """The kept budgets, in the order in which they were set; none if the file is not there.

    Raises:
        ConfigurationError: The file is damaged. Spending on while a limit is unreadable would be worse.
    """
    from deepthrift_pricing import Budget
    from deepthrift_pricing.errors import ConfigurationError

    place = path or budgets_file()
    try:
        raw: object = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the budgets in {place} cannot be read ({error}): mend or delete the file") from error
    budgets: list[Budget] = []
    for entry in cast("list[object]", raw) if isinstance(raw, list) else [None]:
        try:
            budgets.append(Budget.model_validate(entry))
        except ValueError as error:
            raise ConfigurationError(
                f"the budgets in {place} cannot be understood ({error}): mend or delete the file"
            ) from error
    return budgets


def save(budgets: Sequence[Budget], path: Path | None = None) -> None:
    """Keep `budgets` in place of what was kept; either all is written or nothing.

    Raises:
        OSError: The file cannot be written.
    """
    place = path or budgets_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(json.dumps([budget.model_dump(mode="json") for budget in budgets], indent=2), encoding="utf-8")
    fresh.replace(place)
