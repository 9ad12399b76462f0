"""Bookings of one group share their counts, and end as if each had been written alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Attempt, Budget, Ledger
from deepthrift_pricing._ledger.outcomes import Decide, released, settled, unknown
from deepthrift_pricing._ledger.queue.jobs import Job
from tests.pricing.ledgers import NOON, Clock, cost, wanted

BUDGETS = [
    Budget("0.010", per="day", policy="refuse", name="day"),
    Budget("0.006", per=timedelta(hours=3), tags={"team": "a"}, policy="refuse", name="rolling"),
    Budget("0.004", per="answer", policy="refuse", name="answer"),
    Budget("0.007", per="total", each="team", policy="refuse", name="each"),
    Budget("0.003", per="day", mode="thinking", policy="warn", name="warning"),
]
DECISIONS: dict[str, Callable[[str], Decide]] = {
    "settle": lambda amount: settled(None, cost(amount), NOON),
    "unknown": lambda _: unknown(NOON),
    "release": lambda _: released(NOON),
}
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "unknown", "release"]),
        st.integers(1, 4000),
        st.sampled_from(["a", "b"]),
        st.integers(0, 5),
    ),
    min_size=2,
    max_size=30,
)


def jobs_of(ledger: Ledger, actions: list[tuple[str, int, str, int]]) -> list[Job[Any]]:
    """What `actions` book; an end belongs to one of the attempts that were made before, if there are any."""
    jobs: list[Job[Any]] = []
    made = 0
    for action, size, team, number in actions:
        amount = f"{size / 1_000_000:.6f}"
        if action == "reserve" or not made:
            mode = "thinking" if number > 3 else "standard"
            request = wanted(
                amount, attempt=f"a{made}", group=f"g{number}", call=f"c{made}", tags={"team": team}, mode=mode
            )
            jobs.append(ledger._reservation(request, None))
            made += 1
            continue
        jobs.append(ledger._ending(f"a{number % made}", DECISIONS[action](amount), None))
    return jobs


def outcomes(ledger: Ledger, jobs: list[Job[Any]]) -> list[object]:
    found: list[object] = []
    for job in jobs:
        value = job.error or job.value
        found.append((value.status, value.cost.total) if isinstance(value, Attempt) else type(value))
    return [
        *found,
        [(s.budget.label, s.part, s.spent, s.reserved, s.unknown, s.refused) for s in ledger.budget_status()],
    ]


@given(ACTIONS)
def test_a_group_ends_as_its_jobs_would_alone(actions: list[tuple[str, int, str, int]]) -> None:
    with (
        Ledger.open("memory:", budgets=BUDGETS, clock=Clock()) as alone,
        Ledger.open("memory:", budgets=BUDGETS, clock=Clock()) as together,
    ):
        one = jobs_of(alone, actions)
        for job in one:
            alone._writing._write([job])
        group = jobs_of(together, actions)
        together._writing._write(group)
        assert outcomes(together, group) == outcomes(alone, one)
