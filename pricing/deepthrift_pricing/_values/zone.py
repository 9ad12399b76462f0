"""Named time zones, with a clear error where a machine has no zone data."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """The time zone called `name`; `UTC` needs no zone data on the machine.

    Raises:
        ValueError: There is no such zone here.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is not a time zone known here; use a name such as 'UTC' or 'Asia/Shanghai', "
            "and install the package `tzdata` where the system has no zone data"
        ) from None
