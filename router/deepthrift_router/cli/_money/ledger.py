"""The ledger of the command line, with the budgets that `deepthrift budget` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift_router.cli._shared.paths import default_ledger

if TYPE_CHECKING:
    from deepthrift_pricing import Budget, Ledger
    from deepthrift_router.cli._shared.options import LedgerPlace


def ledger_path(path: Path | None = None) -> Path:
    """The file of the ledger: `path`, else the default one."""
    return (path or default_ledger()).expanduser().absolute()


def open_ledger(place: LedgerPlace | None = None, *, budgets: Sequence[Budget] = ()) -> Ledger:
    """The ledger at `place` (the default file if `None`), made if it is not there yet.

    The budgets kept by `deepthrift budget` are in force, and `budgets` besides.

    Raises:
        LedgerUnavailable: The file or the database cannot be opened or made.
    """
    from deepthrift_pricing import Ledger
    from deepthrift_pricing.errors import LedgerUnavailable
    from deepthrift_router.cli._money.budgets import load

    if isinstance(place, str):
        return Ledger.open(place, budgets=[*load(), *budgets])
    file = ledger_path(place)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnavailable(
            f"{file.parent} cannot be made: {error.strerror}; name another place with --ledger or DEEPTHRIFT_HOME"
        ) from error
    return Ledger.open(file, budgets=[*load(), *budgets])
