"""Each alert is sent once in its window, whoever looks and however often."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import AttemptRequest, Budget, Cost, Ledger, Mode, Money, Usage
from deepthrift_pricing.alerts import (
    Alert,
    AlertMonitor,
    Anomaly,
    CallbackSink,
    Forecast,
    LoggingSink,
    NoBalance,
    Threshold,
)
from deepthrift_pricing.errors import ConfigurationError
from tests.support.waiting import PATIENCE

MORNING = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime = MORNING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def spend(
    ledger: Ledger,
    clock: Clock,
    amount: str = "0.01",
    *,
    mode: Mode = "standard",
    hits: int = 0,
    status: int = 200,
    number: list[int] | None = None,
) -> None:
    serial = _SERIAL if number is None else number
    serial[0] += 1
    money = Money.of(amount)
    request = AttemptRequest(
        attempt_id=f"a{serial[0]}",
        call_id="c",
        group_id="g",
        host="deepseek",
        model="m",
        mode=mode,
        prompt_tokens=1,
        max_tokens=1,
        worst=money,
        started_at=clock(),
    )
    attempt = ledger.try_reserve(request)
    if status == 402:
        ledger.release(attempt.id, ended_at=clock(), http_status=402)
        return
    nothing = Money(0)
    cost = Cost(total=money, cache_hit=nothing, cache_miss=nothing, completion=money, reasoning=nothing)
    ledger.settle(attempt.id, usage=Usage.of(100, 10, cache_hit=hits), cost=cost, ended_at=clock(), http_status=200)


_SERIAL = [0]


def test_thresholds_fire_once_in_each_window() -> None:
    clock = Clock()
    with Ledger.open(budgets=[Budget("0.10", per="day", name="team")], clock=clock) as ledger:
        told: list[Alert] = []
        rules = [Threshold("0.5"), Threshold("0.8"), Threshold("1")]
        monitor = AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(told.append)], clock=clock)
        for _ in range(10):
            spend(ledger, clock)
            monitor.check()
            monitor.check()
        assert [alert.title for alert in told] == [
            "50 % of the budget team is spent",
            "80 % of the budget team is spent",
            "100 % of the budget team is spent",
        ]
        assert [alert.severity for alert in told] == ["info", "warning", "critical"]
        assert told[0].text.startswith("0.05 USD of 0.1 USD are spent; 0.05 USD are left. The window ends at")
        clock.forward(days=1)
        for _ in range(5):
            spend(ledger, clock)
        assert [alert.kind for alert in monitor.check()] == ["threshold"]


def test_a_restart_does_not_send_again_and_a_second_sink_has_its_own_copy(tmp_path: Path) -> None:
    clock = Clock()
    told: list[Alert] = []
    for expected in (1, 1):
        with Ledger.open(tmp_path / "l.db", budgets=[Budget("0.02", per="day")], clock=clock) as ledger:
            if not told:
                spend(ledger, clock)
            AlertMonitor(ledger, rules=[Threshold("0.5")], sinks=[CallbackSink(told.append)], clock=clock).check()
            assert len(told) == expected
    other: list[Alert] = []
    with Ledger.open(tmp_path / "l.db", budgets=[Budget("0.02", per="day")], clock=clock) as ledger:
        sinks = [CallbackSink(told.append), CallbackSink(other.append, name="other")]
        AlertMonitor(ledger, rules=[Threshold("0.5")], sinks=sinks, clock=clock).check()
    assert (len(told), len(other)) == (1, 1)


LOOK = """
import sys, threading
from pathlib import Path
from deepthrift_pricing import Budget, Ledger
from deepthrift_pricing.alerts import AlertMonitor, CallbackSink, Threshold

path, out = sys.argv[1:]

def log(alert):
    with Path(out).open("a") as file:
        file.write(alert.key + "\\n")

rules = [Threshold("0.5"), Threshold("0.25")]
ledger = Ledger.open(Path(path), budgets=[Budget("0.02", per="total")])
print("ready", flush=True)
sys.stdin.readline()
with AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(log)], every=0.01):
    looks = [AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(log)]).check for _ in range(4)]
    threads = [threading.Thread(target=look) for look in looks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
ledger.close()
"""


def test_four_processes_send_each_alert_once(tmp_path: Path) -> None:
    path, out = tmp_path / "l.db", tmp_path / "out"
    clock = Clock(datetime.now(UTC))
    with Ledger.open(path, budgets=[Budget("0.02", per="total")], clock=clock) as ledger:
        spend(ledger, clock)
    command = [sys.executable, "-W", "error", "-c", LOOK, str(path), str(out)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.communicate("go\n", timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    keys = out.read_text().splitlines()
    assert len(keys) == len(set(keys)) == 2


def test_a_sink_that_fails_gets_it_again_when_the_claim_is_old() -> None:
    clock = Clock()
    with Ledger.open(budgets=[Budget("0.02", per="total")], clock=clock) as ledger:
        spend(ledger, clock)
        tries: list[Alert] = []

        def fail_twice(alert: Alert) -> None:
            tries.append(alert)
            if len(tries) < 3:
                raise OSError("no")

        monitor = AlertMonitor(ledger, rules=[Threshold("0.5")], sinks=[CallbackSink(fail_twice)], clock=clock)
        monitor.check()
        clock.forward(minutes=4)
        monitor.check()
        assert len(tries) == 1
        for expected in (2, 3, 3):
            clock.forward(minutes=6)
            monitor.check()
            assert len(tries) == expected


def test_the_forecast_says_when_the_budget_ends() -> None:
    clock = Clock(datetime(2026, 3, 2, 0, 0, tzinfo=UTC))
    with Ledger.open(budgets=[Budget("0.10", per="day", name="day")], clock=clock) as ledger:
        told: list[Alert] = []
        monitor = AlertMonitor(ledger, rules=[Forecast()], sinks=[CallbackSink(told.append)], clock=clock)
        clock.forward(hours=1)
        spend(ledger, clock, "0.004")
        assert not monitor.check()  # too early, too little
        clock.forward(hours=5)
        for _ in range(4):
            spend(ledger, clock)
        (alert,) = monitor.check()
        # 0.044 in 6 hours: the remaining 0.056 last another 7 h 38 min.
        assert "ends at 2026-03-02 13:38" in alert.title
        assert not monitor.check()


def test_a_budget_that_lasts_is_not_forecast() -> None:
    clock = Clock(datetime(2026, 3, 2, 20, 0, tzinfo=UTC))
    with Ledger.open(budgets=[Budget("0.10", per="day")], clock=clock) as ledger:
        spend(ledger, clock, "0.06")
        assert not list(Forecast().check(ledger, clock()))


def test_a_spike_in_thinking_and_a_fall_in_cache_hits_are_told_once_a_day() -> None:
    clock = Clock()
    with Ledger.open(clock=clock) as ledger:
        for turn in range(150):
            spend(ledger, clock, mode="thinking" if turn % 10 == 0 else "standard", hits=90)
            clock.forward(seconds=1)
        assert not list(Anomaly().check(ledger, clock()))
        for turn in range(50):
            spend(ledger, clock, mode="thinking" if turn % 2 else "standard", hits=10)
            clock.forward(seconds=1)
        told = list(Anomaly().check(ledger, clock()))
        assert [alert.kind for alert in told] == ["thinking_share", "cache_hits"]
        assert told[0].title == "Thinking calls rose from 10% to 50%"
        assert told[1].title == "Cache hits fell from 90% to 10% of the prompt tokens"
        assert [alert.key for alert in Anomaly().check(ledger, clock())] == [alert.key for alert in told]


def test_402_and_a_low_balance_are_told_once_a_day() -> None:
    clock = Clock()
    with Ledger.open(clock=clock) as ledger:
        monitor = AlertMonitor(ledger, rules=[NoBalance()], sinks=[LoggingSink()], clock=clock)
        assert not monitor.check()
        spend(ledger, clock, status=402)
        assert [alert.kind for alert in monitor.check()] == ["no_balance"]
        assert not monitor.check()
        assert not monitor.balance("deepseek", Money.of("5"), least=Money.of("5"))
        assert len(monitor.balance("deepseek", Money.of("4.99"), least=Money.of("5"))) == 1
        assert not monitor.balance("deepseek", Money.of("4.98"), least=Money.of("5"))


def test_the_thread_sends_without_being_asked_and_looks_once_more_at_the_end() -> None:
    clock = Clock()
    arrived = threading.Event()
    told: list[Alert] = []

    def tell(alert: Alert) -> None:
        told.append(alert)
        arrived.set()

    with Ledger.open(budgets=[Budget("0.02", per="total")], clock=clock) as ledger:
        rules = [Threshold("0.5"), Threshold("1")]
        with AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(tell)], every=0.01, clock=clock):
            spend(ledger, clock)
            assert arrived.wait(PATIENCE)
        with AlertMonitor(ledger, rules=rules, sinks=[CallbackSink(tell)], every=3600, clock=clock):
            spend(ledger, clock)
        assert len(told) == 2


def test_wrong_settings_are_refused() -> None:
    with Ledger.open() as ledger:
        with pytest.raises(ConfigurationError, match="same name"):
            AlertMonitor(ledger, sinks=[LoggingSink(), LoggingSink()])
        with pytest.raises(ConfigurationError, match="every"):
            AlertMonitor(ledger, every=0)
    with pytest.raises(ConfigurationError, match="share"):
        Threshold(Decimal(0))
