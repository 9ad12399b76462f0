"""An alert when another model, or another version of it, answers behind a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._ledger.rows.identities import normal
from deepthrift_pricing.alerts._alert import Alert

_RECENT: Final = timedelta(days=7)
"""A monitor that starts later does not speak of a change that is older."""


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """A host answers for a model under a new name, or with a new fingerprint. Fires once for each.

    `fingerprints=False` leaves fingerprints out, for a host that changes them often.
    """

    fingerprints: bool = True

    def check(self, ledger: Ledger, now: datetime) -> Iterable[Alert]:
        """An alert for each name and fingerprint that came up within the last week."""
        for row in ledger.identities():
            named = row.replaced_model is not None
            if not row.changed or row.first_at < now - _RECENT or not (named or self.fingerprints):
                continue
            what = f"name:{normal(row.answered_model or '')}" if named else f"fingerprint:{row.fingerprint}"
            yield Alert(
                # Both modes of a model may change at once: that is one thing to be told.
                key=f"model_changed:{row.host}:{row.model}:{what}",
                kind="model_changed",
                severity="warning" if named else "info",
                title=f"{row.host}: {'another model answers' if named else 'a new version answers'} for {row.model}",
                text=(
                    f"{row.news}. First seen at {row.first_at:%Y-%m-%d %H:%M} UTC. What was measured before may not "
                    "hold for it: check prices, quality and prompts."
                ),
                at=now,
            )
