"""What becomes of a router's promises when another model, or another version of it, answers behind the name."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from deepthrift import AsyncClient


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


def latest_change(client: AsyncClient) -> Change | None:
    """The latest change of the model that answers `client`, as its ledger knows it; `None` where there was none.

    Raises:
        LedgerUnavailable: The ledger cannot be read.
    """
    host, ledger = client.host, client.ledger
    models = {host.model_for("standard", client.model), host.model_for("thinking", client.model)}
    found = [row for row in ledger.identities(host=host.name) if row.changed and row.model in models]
    return Change(found[-1].first_at, found[-1].news) if found else None
