"""Windows of budgets: calendar windows follow the clocks of their zone, and every moment lies in exactly one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepthrift_pricing import Budget
from deepthrift_pricing._values.window import micros, moment

CASES: list[tuple[dict[str, Any], str, str, str | None]] = [
    # settings, moment, start, end (UTC)
    ({"per": "hour"}, "2026-11-20T12:34:56.789", "2026-11-20T12:00", "2026-11-20T13:00"),
    ({"per": "hour", "anchor": "2026-01-01T00:15"}, "2026-11-20T12:10", "2026-11-20T11:15", "2026-11-20T12:15"),
    ({"per": "hour", "zone": "Asia/Kolkata"}, "2026-11-20T12:10", "2026-11-20T11:30", "2026-11-20T12:30"),
    ({"per": "day"}, "2026-11-20T23:59:59.999999", "2026-11-20T00:00", "2026-11-21T00:00"),
    ({"per": "day", "zone": "Asia/Shanghai"}, "2026-11-20T16:00", "2026-11-20T16:00", "2026-11-21T16:00"),
    ({"per": "day", "zone": "Asia/Shanghai"}, "2026-11-20T15:59", "2026-11-19T16:00", "2026-11-20T16:00"),
    ({"per": "day", "anchor": "2026-01-01T09:00"}, "2026-11-20T08:59", "2026-11-19T09:00", "2026-11-20T09:00"),
    # clocks go forward on 2026-03-29 and back on 2026-10-25 in Berlin: days of 23 and 25 hours
    ({"per": "day", "zone": "Europe/Berlin"}, "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
    ({"per": "day", "zone": "Europe/Berlin"}, "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
    # a day that opens at a time that does not exist, and one that exists twice
    (
        {"per": "day", "zone": "Europe/Berlin", "anchor": "2026-01-01T02:30"},
        "2026-03-29T12:00",
        "2026-03-29T01:30",
        "2026-03-30T00:30",
    ),
    (
        {"per": "day", "zone": "Europe/Berlin", "anchor": "2026-01-01T02:30"},
        "2026-10-25T01:00",
        "2026-10-25T00:30",
        "2026-10-26T01:30",
    ),
    ({"per": "week"}, "2026-11-22T23:59", "2026-11-16T00:00", "2026-11-23T00:00"),
    ({"per": "week", "anchor": "2026-11-18T08:00"}, "2026-11-18T07:59", "2026-11-11T08:00", "2026-11-18T08:00"),
    ({"per": "month"}, "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00"),
    ({"per": "month"}, "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ({"per": "month", "anchor": "2026-01-31T00:00"}, "2026-02-27T00:00", "2026-01-31T00:00", "2026-02-28T00:00"),
    ({"per": "month", "anchor": "2026-01-31T00:00"}, "2026-02-28T00:00", "2026-02-28T00:00", "2026-03-31T00:00"),
    ({"per": "month", "anchor": "2026-01-15T12:00"}, "2026-01-15T11:59", "2025-12-15T12:00", "2026-01-15T12:00"),
    (
        {"per": timedelta(hours=6), "anchor": "2026-11-20T01:00"},
        "2026-11-20T00:59",
        "2026-11-19T19:00",
        "2026-11-20T01:00",
    ),
    ({"per": "total"}, "2026-11-20T00:59", "1970-01-01T00:00", None),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def budget(settings: dict[str, Any]) -> Budget:
    anchor = settings.get("anchor")
    return Budget("1", **settings | {"anchor": None if anchor is None else datetime.fromisoformat(anchor)})


@pytest.mark.parametrize(("settings", "at", "start", "end"), CASES)
def test_the_window_around_a_moment(settings: dict[str, Any], at: str, start: str, end: str | None) -> None:
    span = budget(settings).span(micros(utc(at)))
    assert moment(span.start) == utc(start)
    assert span.end is None if end is None else span.end is not None and moment(span.end) == utc(end)


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
)


@given(
    st.sampled_from(["hour", "day", "week", "month", timedelta(hours=7)]),
    zones,
    st.none() | st.datetimes(datetime(1999, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001
)
@example("day", "America/Havana", None, datetime(2026, 3, 8, 4, 30))  # noqa: DTZ001
@example("day", "Pacific/Apia", None, datetime(2011, 12, 30, 9, 59))  # noqa: DTZ001
def test_windows_follow_one_another_without_gap(per: Any, zone: str, anchor: datetime | None, at: datetime) -> None:
    if anchor is not None:
        anchor = anchor.replace(microsecond=0)
    if isinstance(per, timedelta) and anchor is None:
        anchor = datetime(2026, 1, 1)  # noqa: DTZ001
    budget = Budget("1", per=per, zone=zone, anchor=anchor)
    now = micros(at.replace(tzinfo=UTC))
    span = budget.span(now)
    assert span.end is not None
    assert span.start <= now < span.end
    assert budget.span(span.start) == span
    assert budget.span(span.end - 1) == span
    assert budget.span(span.end).start == span.end
    assert budget.span(span.start - 1).end == span.start


@given(st.integers(1, 10**6), st.integers(0, 10**12), st.integers(0, 10**10))
def test_a_rolling_window_never_forgets_early(milliseconds: int, booked: int, later: int) -> None:
    length = timedelta(milliseconds=milliseconds)
    budget = Budget("1", per=length)
    grain = budget.span(booked).start
    forgotten = grain < budget.counted_from(booked + later)
    if later <= length // timedelta(microseconds=1):
        assert not forgotten
    if later > 1.01 * (length // timedelta(microseconds=1)) + 1:
        assert forgotten
