"""The budgets as they stand, read off the event loop and kept at hand."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from deepthrift_pricing import BudgetStatus, Ledger
from deepthrift_pricing.errors import LedgerError
from deepthrift_pricing.shared.bookings import in_event_loop

LIMITING: Final = ("wait", "refuse", "downgrade")
_PATIENCE: Final = 1.0
"""Seconds that a look at the budgets may take between two steps of an answer."""

_STATUSES: Final[WeakKeyDictionary[Ledger, list[BudgetStatus]]] = WeakKeyDictionary()
"""The budgets of each ledger as they were read last."""


def read_statuses(ledger: Ledger) -> list[BudgetStatus]:
    """The state of the ledger's budgets now, which steps that follow in an event loop find at hand."""
    found = _STATUSES[ledger] = ledger.budget_status()
    return found


async def refresh_statuses(*ledgers: Ledger) -> None:
    """Reads the budgets anew, off the event loop. Where that fails, or takes long, those read before stand: what is
    spent is held to every budget by the reservation all the same."""
    for ledger in {id(each): each for each in ledgers}.values():
        if any(budget.policy in LIMITING for budget in ledger.budgets):
            with contextlib.suppress(LedgerError):
                await ledger.in_thread(partial(read_statuses, ledger), timeout=_PATIENCE)


def statuses_at_hand(ledger: Ledger) -> list[BudgetStatus]:
    found = _STATUSES.get(ledger) if in_event_loop() else None
    return read_statuses(ledger) if found is None else found
