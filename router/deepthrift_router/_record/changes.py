"""What becomes of a router's promises when another model, or another version of it, answers behind the name."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from deepthrift.errors import LedgerUnavailable

if TYPE_CHECKING:
    from deepthrift import AsyncClient

_KEPT: Final = 5.0
"""Seconds for which other processes' news may be missed."""


class Change(NamedTuple):
    """The latest change behind a model's name."""

    at: datetime
    """Labels from before this moment are of another model."""
    news: str
    """In words, what has changed."""

    @property
    def when(self) -> str:
        """The moment, for people."""
        return f"{self.at:%Y-%m-%d %H:%M} UTC"

    @property
    def only_later(self) -> str:
        """Which labels count, and why."""
        return f"only labels from after {self.when} count, for {self.news}"


class Changes:
    """The latest change of the model that answers a client, read from its ledger every few seconds at most."""

    def __init__(self) -> None:
        self._known: Change | None = None
        self._read: tuple[float, int] | None = None

    def latest(self, client: AsyncClient) -> Change | None:
        """The latest change; what is known already where the ledger cannot be read."""
        now, added = time.monotonic(), client.ledger.identities_added
        if self._read is None or added != self._read[1] or now >= self._read[0] + _KEPT:
            self._read = now, added
            with contextlib.suppress(LedgerUnavailable):
                self._known = latest_change(client)
        return self._known


def latest_change(client: AsyncClient) -> Change | None:
    """The latest change of the model that answers `client`, as its ledger knows it; `None` where there was none.

    Raises:
        LedgerUnavailable: The ledger cannot be read.
    """
    host, ledger = client.host, client.ledger
    models = {host.model_for("standard", client.model), host.model_for("thinking", client.model)}
    found = [row for row in ledger.identities(host=host.name) if row.changed and row.model in models]
    return Change(found[-1].first_at, found[-1].news) if found else None
