"""What a ledger has on record, read at most twice a second: under load the figures of a moment ago are as good."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

from deepthrift import HostProfile
from deepthrift_pricing import Ledger, Mode, Usage
from deepthrift_router._decide.economy import cached_share, effort_on_record, recorded_calls
from deepthrift_router._decide.latency import expected_seconds, timed_attempts

T = TypeVar("T")
_FRESH: Final = 0.5
"""Seconds for which figures are kept: means over dozens of calls, which one call more hardly moves."""
_DOZENS: Final = 48
"""A record that is shorter is read anew each time: it is short to read, and one call more tells much."""


class History:
    """Recorded calls of several ledgers, kept for a moment."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[float, object]] = {}

    def calls(
        self, ledger: Ledger, host: HostProfile, model: str, mode: Mode, effort: str | int | None = None
    ) -> list[Usage]:
        """Usages of recent calls in `mode` at this effort, the newest first."""
        name = effort_on_record(host, model, effort)
        key = ("calls", id(ledger), host.name, model, mode, name)
        return self._fresh(
            key, lambda: recorded_calls(ledger, host, model, mode, name), lambda found: len(found) >= _DOZENS
        )

    def cached_share(self, ledger: Ledger, host: HostProfile, model: str) -> float | None:
        """The share of the prompt that second samples found in the provider's cache, as recorded."""
        key = ("share", id(ledger), host.name, model)
        return self._fresh(key, lambda: cached_share(ledger, host, model), lambda found: found is not None)

    def seconds(self, ledger: Ledger, host: HostProfile, model: str, mode: Mode) -> float | None:
        """The expected seconds of a call in `mode`, or `None` where too few are on record."""
        key = ("attempts", id(ledger))
        attempts = self._fresh(key, lambda: timed_attempts(ledger), lambda found: len(found) >= _DOZENS)
        return expected_seconds(attempts, host.name, model, mode)

    def _fresh(self, key: tuple[object, ...], read: Callable[[], T], enough: Callable[[T], bool]) -> T:
        now = time.monotonic()
        known = self._kept.get(key)
        if known is not None and now - known[0] < _FRESH:
            return cast("T", known[1])
        value = read()
        if enough(value):
            self._kept[key] = (now, value)
        return value
