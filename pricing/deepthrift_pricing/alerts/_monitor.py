"""Looks at the ledger after what was booked, and sends each alert once: in one window, over all processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Self

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.errors import ConfigurationError, LedgerError
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.window import micros
from deepthrift_pricing.alerts._alert import Alert
from deepthrift_pricing.alerts._changes import ModelChanged
from deepthrift_pricing.alerts._rules import Forecast, NoBalance, Rule, Threshold, low_balance
from deepthrift_pricing.alerts._sinks import LoggingSink, Sink

_LOG: Final = logging.getLogger("deepthrift.alerts")
_CLAIM: Final = timedelta(minutes=5) // timedelta(microseconds=1)
"""How long a process that began to deliver an alert may take before another one tries."""
_MOST_TRIES: Final = 5

DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    Threshold("0.5"),
    Threshold("0.8"),
    Threshold("1"),
    Forecast(),
    NoBalance(),
    ModelChanged(),
)
"""Watched for unless told otherwise: half, four fifths and all of a budget, a forecast, an empty account, and another
model behind a name."""


class AlertMonitor:
    """Watches one ledger in a thread of its own, so that no call ever waits for an alert.

    Every process that shares the ledger may run one: an alert is claimed in the store before it is sent, so each sink
    name gets it once in a window, also after a restart. A process that dies while sending leaves its claim to the
    others; then, and only then, a receiver may see the same key twice.

        with AlertMonitor(ledger, sinks=[WebhookSink(url, secret=...)]):
            ...
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        rules: Sequence[Rule] = DEFAULT_RULES,
        sinks: Sequence[Sink] | None = None,
        every: float = 1.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Watches `ledger`; starts with `start()` or as a context manager.

        Args:
            ledger: What to watch.
            rules: When to alert; by default at 50, 80 and 100 % of every budget, when a budget will not last its
                window, on 402, and when another model answers behind a name.
            sinks: Where to; by default the standard library's logging.
            every: Seconds between two looks.
            clock: Tells the moment, aware; for tests.

        Raises:
            ConfigurationError: Two sinks have one name, or `every` is not above zero.
        """
        self._sinks = tuple(sinks) if sinks is not None else (LoggingSink(),)
        names = [sink.name for sink in self._sinks]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"two sinks have the same name ({', '.join(names)}); name each one apart")
        if not every > 0:
            raise ConfigurationError(f"every={every!r} must be above zero seconds")
        self._ledger = ledger
        self._rules = tuple(rules)
        self._every = every
        self._clock = clock
        self._done: set[tuple[str, str]] = set()
        self._stop = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin to watch."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._watch, name="deepthrift-alerts", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """Look once more, send what is due, and end."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
            self._look()
        for sink in self._sinks:
            sink.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> list[Alert]:
        """Look now, in this thread, and send what is due.

        Returns:
            What this call delivered to at least one sink.

        Raises:
            LedgerError: The ledger cannot be read or written.
        """
        now = self._clock()
        due = [alert for rule in self._rules for alert in rule.check(self._ledger, now)]
        return self._deliver(due, now)

    def balance(self, host: str, balance: Money, *, least: Money) -> list[Alert]:
        """Tell of a provider's balance; below `least` it alerts once a day.

        Raises:
            LedgerError: The ledger cannot be read or written.
        """
        now = self._clock()
        alert = low_balance(host, balance, least, now)
        return [] if alert is None else self._deliver([alert], now)

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self._look()

    def _look(self) -> None:
        try:
            self.check()
        except LedgerError as error:
            _LOG.warning("alerts could not be checked: %s", error)
        except Exception:
            _LOG.exception("a rule failed; the others are checked again in %s s", self._every)

    def _deliver(self, alerts: Sequence[Alert], now: datetime) -> list[Alert]:
        delivered: list[Alert] = []
        with self._one_at_a_time:
            for alert in alerts:
                reached = [self._send(alert, sink, now) for sink in self._sinks]
                if any(reached):
                    delivered.append(alert)
        return delivered

    def _send(self, alert: Alert, sink: Sink, now: datetime) -> bool:
        mark = (alert.key, sink.name)
        if mark in self._done:
            return False
        claim = self._ledger.claim_alert(alert.key, sink.name, micros(now), micros(now) - _CLAIM, _MOST_TRIES)
        if claim != "yours":
            if claim == "done":
                self._done.add(mark)
            return False
        try:
            sink.send(alert)
        except Exception as error:
            _LOG.warning("the alert %r did not reach %s: %s", alert.title, sink.name, type(error).__name__)
            return False
        self._ledger.alert_delivered(alert.key, sink.name, micros(self._clock()))
        self._done.add(mark)
        return True
