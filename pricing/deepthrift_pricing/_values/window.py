"""Windows of time that a budget counts in."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias

Calendar: TypeAlias = Literal["hour", "day", "week", "month"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
USUAL_ANCHOR: Final = datetime(2024, 1, 1)  # noqa: DTZ001  # a wall-clock pattern, not a moment
"""The anchor where none is given: the first of a month, a Monday, the first hour of the day."""


def micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The moment that is `at` microseconds after 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=at)


class Span(NamedTuple):
    """Microseconds since 1970: from `start` up to but without `end`; `None` is for ever."""

    start: int
    end: int | None


def calendar_span(per: Calendar, at: int, zone: tzinfo, anchor: datetime) -> Span:
    """The hour, day, week or month around `at`, as clocks in `zone` show it, opening where `anchor` says.

    `anchor` is a wall-clock time at which some window opens: its minute counts for hours, its time for days, its
    weekday and time for weeks, its day and time for months (in shorter months the last day). Days and weeks follow the
    clocks where they change, so a day may have 23 or 25 hours.
    """
    if per == "hour":
        local = moment(at).astimezone(zone)
        into = ((local.minute - anchor.minute) * 60 + local.second - anchor.second) % 3600
        start = at - into * 1_000_000 - local.microsecond
        return Span(start, start + 3_600_000_000)
    today = moment(at).astimezone(zone).date()
    step = -1 if _opening(per, today, 0, zone, anchor) > at else 0
    start = _opening(per, today, step, zone, anchor)
    end = _opening(per, today, step + 1, zone, anchor)
    if at >= end:  # the clocks were put back across the opening
        start, end = end, _opening(per, today, step + 2, zone, anchor)
    return Span(start, end)


def _opening(per: Calendar, today: date, step: int, zone: tzinfo, anchor: datetime) -> int:
    """The moment at which the window of `today`, moved by `step` windows, opens."""
    if per == "day":
        day = today + timedelta(days=step)
    elif per == "week":
        day = today - timedelta(days=(today.weekday() - anchor.weekday()) % 7) + timedelta(weeks=step)
    else:
        months = today.year * 12 + today.month - 1 + step
        year, month = divmod(months, 12)
        day = date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))
    opens = datetime.combine(day, time(anchor.hour, anchor.minute, anchor.second), zone)
    return micros(opens.astimezone(UTC))


def fixed_span(length: int, at: int, origin: int) -> Span:
    """The window around `at` of those that follow one another from `origin`, each `length` microseconds long."""
    start = at - (at - origin) % length
    return Span(start, start + length)
