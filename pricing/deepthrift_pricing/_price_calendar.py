"""Public holidays in price rows: until when they are known, and what to say when that ends soon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._price import Price

SOON: Final = timedelta(days=60)
"""A calendar that ends within this time should be completed."""


class EndingCalendar(BaseModel):
    """A list of public holidays that some price rows share, and that ends soon or has ended. `str()` is a sentence."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    host: str
    until: date
    """The last day for which the holidays are known."""
    price_ids: tuple[str, ...]
    """The rows that use it."""
    ended: bool
    """Whether that day is over."""

    def __str__(self) -> str:
        rows = f"{len(self.price_ids)} price row{'' if len(self.price_ids) == 1 else 's'}"
        verb = "ended on" if self.ended else "ends on"
        return (
            f"the holiday calendar of {self.host} {verb} {self.until}. Later peak hours are booked "
            f"at the peak price, as estimated, until except_dates and holidays_until go on ({rows})"
        )


def ending_calendars(rows: Iterable[Price], today: date) -> tuple[EndingCalendar, ...]:
    """The calendars of `rows` that end within 60 days of `today`, or have ended: one entry for each calendar."""
    found: dict[tuple[str, date], list[str]] = {}
    for row in rows:
        until = row.calendar_end
        if until is None or until - today > SOON:
            continue
        if row.valid_to is not None and (row.valid_to.date() <= today or row.valid_to.date() <= until):
            continue  # the row itself ends before its calendar does
        found.setdefault((row.host, until), []).append(row.id)
    return tuple(
        EndingCalendar(host=host, until=until, price_ids=tuple(ids), ended=until < today)
        for (host, until), ids in sorted(found.items())
    )
