"""A machine that books in random order beside a plain model, and compares the two after every step."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deepthrift_pricing import Budget, Ledger, Mode, Money
from deepthrift_pricing.errors import BudgetExceeded
from tests.pricing.ledgers import Clock, cost, wanted
from tests.support.databases import server_is_up, store_url

LEASE = 3600.0
START = datetime(2026, 3, 27, 21, 30, tzinfo=UTC)
"""Two days before Berlin's clocks go forward, near the end of a month."""

BUDGETS = [
    Budget("0.000000000400", per="day", zone="Europe/Berlin", name="day"),
    Budget("0.000000000250", per="hour", mode="thinking", policy="refuse", name="thinking"),
    Budget("0.000000000300", per=timedelta(hours=3), tags={"team": "search"}, name="rolling"),
    Budget("0.000000002000", per="month", anchor=datetime(2026, 1, 28), name="month"),  # noqa: DTZ001
    Budget("0.000000000120", per="call", name="call"),
    Budget("0.000000000350", per="day", each="user", name="each"),
]


@dataclass
class Booked:
    """What the plain model knows of an attempt."""

    id: str
    call: str
    mode: Mode
    tags: dict[str, str]
    at: datetime
    worst: int
    lease: datetime
    status: str = "reserved"
    amount: int = 0

    @property
    def counts(self) -> int:
        return self.worst if self.status in ("reserved", "unknown") else self.amount


def day_of(at: datetime) -> datetime:
    """The start of the day in Berlin, by hand: UTC+1 before 2026-03-29 01:00 UTC, UTC+2 after."""
    for offset in (1, 2):
        start = (at + timedelta(hours=offset)).replace(hour=0, minute=0, second=0, microsecond=0)
        start -= timedelta(hours=offset if start != datetime(2026, 3, 29, tzinfo=UTC) else 1)
        summer = start > datetime(2026, 3, 29, tzinfo=UTC)
        start_offset = 2 if summer else 1
        local = start + timedelta(hours=start_offset)
        if local.hour == 0 and start <= at:
            best = start
    return best


class LedgerMachine(RuleBasedStateMachine):
    """Two ledgers on one store, so that whatever one process does, the other sees."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(START)
        self.model: list[Booked] = []
        self.stack = ExitStack()
        self.doors: list[Ledger] = []

    @initialize()
    def open(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.url = self.stack.enter_context(store_url(self.kind, Path(folder)))
        count = 1 if self.kind == "memory" else 2
        self.doors = [Ledger.open(self.url, budgets=BUDGETS, lease=LEASE, clock=self.clock) for _ in range(count)]

    def teardown(self) -> None:
        for door in self.doors:
            door.close()
        self.stack.close()

    # -- the plain model ---------------------------------------------------------------------------------------------

    def same_window(self, budget: Budget, one: datetime, now: datetime) -> bool:
        if budget.name in ("day", "each"):
            zone = budget.name == "day"
            return (day_of(one) == day_of(now)) if zone else one.date() == now.date()
        if budget.name == "thinking":
            return one.replace(minute=0, second=0, microsecond=0) == now.replace(minute=0, second=0, microsecond=0)
        if budget.name == "month":

            def opening(at: datetime) -> tuple[int, int]:
                return (at.year, at.month) if at.day >= 28 else (at - timedelta(days=at.day)).timetuple()[:2]

            return opening(one) == opening(now)
        return True

    def covered(self, budget: Budget, booked: Booked) -> bool:
        return (
            budget.mode in (None, booked.mode)
            and budget.tags.items() <= booked.tags.items()
            and set(budget.each) <= booked.tags.keys()
        )

    def count(self, budget: Budget, like: Booked, *, status: str | None = None) -> int:
        """What counts beside `like` at this moment. Of a rolling window, what must count (see `slack`)."""
        total = 0
        for booked in self.model:
            if not self.covered(budget, booked) or (status is not None and booked.status != status):
                continue
            if budget.name == "call" and booked.call != like.call:
                continue
            if budget.each and booked.tags["user"] != like.tags.get("user"):
                continue
            if budget.name == "rolling":
                if booked.at < self.clock.now - timedelta(hours=3) - self.slack:
                    continue
            elif not self.same_window(budget, booked.at, self.clock.now):
                continue
            total += booked.counts
        return total

    slack = timedelta(0)
    grain = timedelta(hours=3) / 1000

    def fits(self, like: Booked) -> bool | None:
        """Whether the attempt fits; `None` where a rolling window is between a grain and the next."""
        answers: set[bool] = set()
        for slack in (timedelta(0), self.grain):
            self.slack = slack
            answers.add(
                all(
                    not like.worst or self.count(budget, like) + like.worst <= budget.limit.pico
                    for budget in BUDGETS
                    if self.covered(budget, like)
                )
            )
        self.slack = timedelta(0)
        return answers.pop() if len(answers) == 1 else None

    def sweep_model(self) -> None:
        for booked in self.model:
            if booked.status == "reserved" and booked.lease <= self.clock.now:
                booked.status = "unknown"

    # -- the steps ---------------------------------------------------------------------------------------------------

    @rule(
        door=st.integers(0, 1),
        worst=st.integers(0, 130),
        call=st.sampled_from("abcdef"),
        mode=st.sampled_from(["standard", "thinking"]),
        tags=st.fixed_dictionaries(
            {}, optional={"team": st.sampled_from(["search", "ads"]), "user": st.sampled_from(["ann", "bob"])}
        ),
    )
    def reserve(self, door: int, worst: int, call: str, mode: Mode, tags: dict[str, str]) -> None:
        ledger = self.doors[door % len(self.doors)]
        id_ = f"machine-{len(self.model)}"
        lease = self.clock.now + timedelta(seconds=LEASE)
        booked = Booked(id_, call, mode, tags, self.clock.now, worst, lease)
        fits = self.fits(booked)
        amount = f"{Money(worst).amount:f}"
        try:
            attempt = ledger.try_reserve(wanted(amount, attempt=id_, call=call, mode=mode, tags=tags))
        except BudgetExceeded:
            assert fits is not True
            self.sweep_model()  # a refusal looks for leases that are over
        else:
            assert fits is not False
            assert attempt.reserved == Money(worst)
            self.model.append(booked)

    def pick(self, number: int) -> Booked | None:
        return self.model[number % len(self.model)] if self.model else None

    @rule(door=st.integers(0, 1), number=st.integers(0, 50), amount=st.integers(0, 200))
    def settle(self, door: int, number: int, amount: int) -> None:
        booked = self.pick(number)
        if booked is None:
            return
        bill = cost(f"{Money(amount).amount:f}")
        ledger = self.doors[door % len(self.doors)]
        attempt = ledger.settle(booked.id, usage=None, cost=bill, ended_at=self.clock.now)
        if booked.status != "settled":
            booked.status, booked.amount = "settled", amount
        assert attempt.cost.total.pico == booked.amount

    @rule(door=st.integers(0, 1), number=st.integers(0, 50))
    def release(self, door: int, number: int) -> None:
        booked = self.pick(number)
        if booked is None:
            return
        attempt = self.doors[door % len(self.doors)].release(booked.id, ended_at=self.clock.now)
        if booked.status in ("reserved", "unknown"):
            booked.status = "released"
        assert attempt.status == booked.status

    @rule(door=st.integers(0, 1), number=st.integers(0, 50))
    def hold(self, door: int, number: int) -> None:
        booked = self.pick(number)
        if booked is None:
            return
        attempt = self.doors[door % len(self.doors)].hold_unknown(booked.id)
        if booked.status == "reserved":
            booked.status = "unknown"
        assert attempt.status == booked.status

    @rule(door=st.integers(0, 1), number=st.integers(0, 50))
    def renew(self, door: int, number: int) -> None:
        booked = self.pick(number)
        if booked is None:
            return
        self.doors[door % len(self.doors)].renew(booked.id)
        booked.lease = self.clock.now + timedelta(seconds=LEASE)

    @rule(minutes=st.sampled_from([0.05, 7, 31, 61, 181, 60 * 24]))
    def time_passes(self, minutes: float) -> None:
        self.clock.move(minutes=minutes)

    @rule(door=st.integers(0, 1))
    def sweep(self, door: int) -> None:
        before = {booked.id for booked in self.model if booked.status == "reserved"}
        self.sweep_model()
        after = {booked.id for booked in self.model if booked.status == "reserved"}
        assert {attempt.id for attempt in self.doors[door % len(self.doors)].sweep()} == before - after

    @rule()
    def crash_and_return(self) -> None:
        """One door is left without a goodbye, and a new one opened; in memory there is nobody to return."""
        if self.kind == "memory":
            return
        self.doors[0]._store.close()
        self.doors[0] = Ledger.open(self.url, budgets=BUDGETS, lease=LEASE, clock=self.clock)
        self.sweep_model()  # opening sweeps

    # -- the comparison ----------------------------------------------------------------------------------------------

    @invariant()
    def the_rows_are_the_model(self) -> None:
        for door in self.doors:
            rows = {attempt.id: (attempt.status, attempt.cost.total.pico) for attempt in door.attempts()}
            assert rows == {booked.id: (booked.status, booked.counts) for booked in self.model}

    @invariant()
    def the_sums_are_the_model(self) -> None:
        for door in self.doors:
            [*rows] = door.spend(by=("status",))
            assert sum(row.total.pico + row.reserved.pico for row in rows) == sum(each.counts for each in self.model)
            unknown = sum(booked.counts for booked in self.model if booked.status == "unknown")
            assert sum(row.unknown.pico for row in rows) == unknown

    @invariant()
    def the_counts_are_the_model(self) -> None:
        for door in self.doors:
            for status in door.budget_status():
                budget = next(budget for budget in BUDGETS if budget.name == status.name)
                if budget.name in ("rolling", "call", "each"):
                    continue  # between two grains, and by part: what they admit is compared in `reserve`
                like = Booked("", "", "standard", {}, self.clock.now, 0, self.clock.now)
                assert status.reserved.pico == self.count(budget, like, status="reserved")
                assert status.unknown.pico == self.count(budget, like, status="unknown")
                assert status.spent.pico + status.reserved.pico == self.count(budget, like)


class FileMachine(LedgerMachine):
    """The same on a file, through two doors, with crashes."""

    kind = "sqlite"


class ServerMachine(LedgerMachine):
    """The same in PostgreSQL."""

    kind = "postgres"


steps = settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
TestInMemory = LedgerMachine.TestCase
TestInMemory.settings = steps
TestInAFile = FileMachine.TestCase
TestInAFile.settings = settings(steps, max_examples=25)
TestInAFile = pytest.mark.slow(TestInAFile)
TestOnAServer = ServerMachine.TestCase
TestOnAServer.settings = settings(steps, max_examples=10)
TestOnAServer = pytest.mark.slow(
    pytest.mark.skipif(not server_is_up(), reason="no PostgreSQL server for tests at hand")(TestOnAServer)
)
