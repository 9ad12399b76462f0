"""Moments as invoices write them, day first or month first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final, Literal, TypeAlias

Order: TypeAlias = Literal["day", "month"]
"""What comes first in 10/11/2026."""

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME: Final = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_CLOCK: Final = (
    r"(?:(?:\s*,\s*|\s+|t)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?)?"
)
_ZONE: Final = r"(?:\s*(?P<zone>z|utc|gmt|(?:utc|gmt)?\s*[+-]\d{1,2}(?::?\d{2})?(?:\s+utc)?))?"
_FORMS: Final = tuple(
    re.compile(form + _CLOCK + _ZONE)
    for form in (
        r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})",
        r"(?P<year>\d{4})年(?P<month>\d{1,2})月(?P<day>\d{1,2})日",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<first>\d{1,2})(?P<sep>[-/.])(?P<second_number>\d{1,2})(?P=sep)(?P<year>\d{4})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-\s]+{_NAME}[-,\s]+(?P<year>\d{{4}})",
        rf"{_NAME}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})",
    )
)
_MONTH: Final = re.compile(
    rf"(?P<year>\d{{4}})[-/](?P<month>\d{{1,2}})|(?P<a>\d{{4}})年(?P<b>\d{{1,2}})月|{_NAME}[-,\s]+(?P<c>\d{{4}})"
)
_EPOCH: Final = re.compile(r"(?P<seconds>[12]\d{9})(?P<millis>\d{3})?(?:\.\d+)?")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to but without `end`; a moment is a span of no length."""

    start: datetime
    end: datetime


@lru_cache(maxsize=4096)
def spans_of(cell: str, zone: tzinfo) -> Mapping[Order, Span]:
    """What a cell says in each order in which it can be read; `zone` is that of moments that name none."""
    text = unicodedata.normalize("NFKC", cell).strip(" '\"\t\u200b\ufeff").casefold()
    if found := _EPOCH.fullmatch(text):
        at = datetime.fromtimestamp(int(found["seconds"]), UTC)
        return _both(Span(at, at))
    if found := _MONTH.fullmatch(text):
        return _of_month(found, zone)
    for form in _FORMS:
        if found := form.fullmatch(text):
            return _of_day(found, zone)
    return {}


def _both(span: Span | None) -> dict[Order, Span]:
    return {} if span is None else {"day": span, "month": span}


def _of_month(found: re.Match[str], zone: tzinfo) -> dict[Order, Span]:
    year = int(found["year"] or found["a"] or found["c"])
    month = _MONTHS.index(found["name"]) + 1 if found["name"] else int(found["month"] or found["b"])
    try:
        start = datetime(year, month, 1, tzinfo=zone)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    except (ValueError, OverflowError):
        return {}
    return _both(Span(start, end))


def _of_day(found: re.Match[str], zone: tzinfo) -> dict[Order, Span]:
    parts = found.groupdict()
    year = int(parts["year"])
    if parts.get("first") is None:
        month = _MONTHS.index(parts["name"]) + 1 if parts.get("name") else int(parts["month"])
        return _both(_span(year, month, int(parts["day"]), parts, zone))
    one, two = int(parts["first"]), int(parts["second_number"])
    spans: dict[Order, Span] = {}
    if (span := _span(year, two, one, parts, zone)) is not None:
        spans["day"] = span
    if parts["sep"] != "." and (span := _span(year, one, two, parts, zone)) is not None:  # points are day first
        spans["month"] = span
    return spans


def _span(year: int, month: int, day: int, parts: dict[str, str | None], zone: tzinfo) -> Span | None:
    hour = parts.get("hour")
    offset = parts.get("zone")
    try:
        at = datetime(year, month, day, tzinfo=zone if offset is None else _offset(offset))
        if hour is None:
            return Span(at, at + _DAY)
        hours = int(hour)
        if half := parts.get("half"):
            if not 1 <= hours <= 12:
                return None
            hours = hours % 12 + (12 if half == "p" else 0)
        micros = int((parts.get("part") or "").ljust(6, "0")[:6])
        at = at.replace(
            hour=hours, minute=int(parts["minute"] or 0), second=int(parts["second"] or 0), microsecond=micros
        )
    except (ValueError, OverflowError):
        return None
    return Span(at, at)


def _offset(text: str) -> tzinfo:
    digits = re.sub(r"[^\d]", "", text)
    if not digits:
        return UTC
    hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:-2]), int(digits[-2:]))
    if minutes > 59:
        raise ValueError("no offset has that many minutes")
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if "-" in text else span)
