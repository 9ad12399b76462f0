"""Bookings: reserve, settle, release, hold; budgets over them; what is read back. On every kind of store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deepthrift_pricing import Attempt, Budget, Ledger, Money, Usage
from deepthrift_pricing.errors import (
    BudgetExceeded,
    ConfigurationError,
    CurrencyMismatch,
    LedgerClosed,
    LedgerError,
    UnknownReservation,
)
from tests.pricing.ledgers import BILL, NOON, REFERENCE, WORST, Clock, cost, settle, spent, wanted
from tests.support.databases import STORES, store_url

Open = Callable[..., Ledger]


@pytest.fixture(params=STORES)
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens ledgers on one store; all of them are closed in the end."""
    with ExitStack() as stack:
        url = stack.enter_context(store_url(request.param, tmp_path))
        yield lambda *budgets, **settings: stack.enter_context(Ledger.open(url, budgets=budgets, **settings))


def test_an_attempt_from_reservation_to_settlement(open_ledger: Open) -> None:
    clock = Clock()
    ledger = open_ledger(clock=clock)
    reserved = ledger.try_reserve(wanted(attempt="a", call="c", group="g", tags={"team": "search"}, mode="thinking"))
    assert reserved == ledger.attempt("a")
    assert (reserved.status, reserved.started_at, reserved.ended_at) == ("reserved", NOON, None)
    assert reserved.reserved == reserved.cost.total == Money.of(WORST)
    assert reserved.cost.certainty == "unknown"
    assert reserved.usage is None
    clock.move(seconds=9)
    settled = ledger.settle(
        "a", usage=REFERENCE, cost=cost(), ended_at=clock.now, finish_reason="stop", http_status=200
    )
    assert settled == ledger.attempt("a")
    assert (settled.status, settled.seconds) == ("settled", 9.0)
    assert settled.usage == REFERENCE
    assert settled.cost == cost()
    assert (settled.finish_reason, settled.http_status, settled.error) == ("stop", 200, None)
    assert (settled.call_id, settled.group_id, settled.tags) == ("c", "g", {"team": "search"})
    Attempt.model_validate(settled.model_dump())
    assert spent(ledger) == Money.of(BILL)


def end_settle(ledger: Ledger, id_: str) -> Attempt:
    return ledger.settle(id_, usage=REFERENCE, cost=cost(), ended_at=NOON)


def end_release(ledger: Ledger, id_: str) -> Attempt:
    return ledger.release(id_, ended_at=NOON, http_status=429, error="RateLimited")


def end_hold(ledger: Ledger, id_: str) -> Attempt:
    return ledger.hold_unknown(id_, ended_at=NOON, error="AttemptTimeout")


ENDS = {"settled": end_settle, "released": end_release, "unknown": end_hold}
AMOUNTS = {"settled": BILL, "released": "0", "unknown": WORST}


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_what_is_known_better_wins_and_the_same_twice_changes_nothing(
    open_ledger: Open, first: str, second: str
) -> None:
    """A settlement is final; a release gives way to a bill; a hold gives way to both."""
    ledger = open_ledger(Budget("1", per="day"), clock=Clock())
    ledger.try_reserve(wanted(attempt="a"))
    once = ENDS[first](ledger, "a")
    assert once.status == first
    rank = {"unknown": 0, "released": 1, "settled": 2}
    final = second if rank[second] > rank[first] else first
    twice = ENDS[second](ledger, "a")
    assert twice.status == final
    assert twice == ledger.attempt("a")
    assert ENDS[second](ledger, "a") == twice
    [status] = ledger.budget_status()
    assert status.spent == spent(ledger) == Money.of(AMOUNTS[final])
    assert status.reserved == Money(0)
    assert status.unknown == Money.of(WORST if final == "unknown" else "0")


def test_reserving_the_same_attempt_again_returns_it_and_books_once(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.003", per="day"), clock=Clock())
    request = wanted()
    assert ledger.try_reserve(request) == ledger.try_reserve(request)
    [status] = ledger.budget_status()
    assert status.reserved == Money.of(WORST)
    settle(ledger, request.attempt_id)
    with pytest.raises(LedgerError, match="its own id"):
        ledger.try_reserve(request)
    with pytest.raises(LedgerError, match="its own id"):
        ledger.try_reserve(wanted(attempt=request.attempt_id))


@pytest.mark.parametrize("end", ENDS.values())
def test_ending_what_was_never_reserved_is_an_error(open_ledger: Open, end: Callable[[Ledger, str], Attempt]) -> None:
    with pytest.raises(UnknownReservation, match="nowhere"):
        end(open_ledger(), "nowhere")


def test_the_limit_itself_fits_and_not_a_trillionth_more(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.3", per="total"), clock=Clock())
    for _ in range(3):
        ledger.try_reserve(wanted("0.1"))
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted("0.000000000001"))
    ledger.try_reserve(wanted("0"))


def test_a_refusal_says_what_was_needed_and_what_is_left(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.003", per="day", name="daily"), clock=Clock())
    settle(ledger, ledger.try_reserve(wanted()).id)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.try_reserve(wanted())
    error = refused.value
    assert error.needed == Money.of(WORST)
    assert error.status is not None
    assert error.status.spent == Money.of(BILL)
    assert error.status.left == Money.of("0.00179264")
    assert error.status.window_end == NOON.replace(hour=0) + timedelta(days=1)
    for part in (WORST, "'daily'", "0.003 USD", BILL, "0.00179264 USD are left until 2026-11-21 00:00 UTC"):
        assert part in str(error)
    assert len(ledger.attempts()) == 1


def test_all_budgets_in_scope_must_have_room_or_none_is_touched(open_ledger: Open) -> None:
    ledger = open_ledger(
        Budget("1", per="day", name="all"),
        Budget("0.001", per="day", tags={"team": "search"}, name="search"),
        Budget("0.001", per="day", mode="thinking", name="thinking"),
        Budget("0.001", per="day", host="deepseek", name="host"),
        Budget("0.001", per="day", model="Other", name="model"),
        clock=Clock(),
    )
    ledger.try_reserve(wanted())
    for name, narrow in (
        ("search", wanted(tags={"team": "search", "user": "u"})),
        ("thinking", wanted(mode="thinking")),
        ("host", wanted(host="deepseek")),
        ("model", wanted(model="OTHER")),
    ):
        with pytest.raises(BudgetExceeded, match=name):
            ledger.try_reserve(narrow)
    ledger.try_reserve(wanted(tags={"team": "other"}))
    reserved = {status.name: status.reserved for status in ledger.budget_status()}
    assert reserved["all"] == Money.of(WORST) * 2
    assert {reserved[name] for name in ("search", "thinking", "host", "model")} == {Money(0)}


def test_a_budget_per_call_counts_its_attempts_together(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.004", per="call"), clock=Clock())
    ledger.try_reserve(wanted(call="one"))
    ledger.try_reserve(wanted(call="one"))
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted(call="one"))
    ledger.try_reserve(wanted(call="two", group="one"))
    assert {status.part: status.reserved.amount for status in ledger.budget_status()} == {
        "one": Money.of(WORST).amount * 2,
        "two": Money.of(WORST).amount,
    }


def test_a_budget_per_answer_counts_its_calls_together(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.004", per="answer"), clock=Clock())
    ledger.try_reserve(wanted(call="one", group="g"))
    ledger.try_reserve(wanted(call="two", group="g"))
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted(call="three", group="g"))
    ledger.try_reserve(wanted(call="four", group="h"))


def test_a_budget_for_each_user_keeps_them_apart(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", each="user"), clock=Clock())
    for user in ("ann", "bob"):
        settle(ledger, ledger.try_reserve(wanted(tags={"user": user})).id)
        with pytest.raises(BudgetExceeded):
            ledger.try_reserve(wanted(tags={"user": user}))
    ledger.try_reserve(wanted())
    assert {status.part: status.spent.amount for status in ledger.budget_status()} == {
        '{"user": "ann"}': Money.of(BILL).amount,
        '{"user": "bob"}': Money.of(BILL).amount,
    }


def test_a_window_that_turns_over_settles_where_it_reserved(open_ledger: Open) -> None:
    clock = Clock(NOON.replace(hour=23, minute=59))
    ledger = open_ledger(Budget("0.002", per="day"), Budget("0.1", per="month"), clock=clock)
    attempt = ledger.try_reserve(wanted())
    clock.move(minutes=2)
    day, month = ledger.budget_status()
    assert day.reserved == Money(0)
    assert month.reserved == Money.of(WORST)
    second = ledger.try_reserve(wanted())
    settle(ledger, attempt.id)
    day, month = ledger.budget_status()
    assert (day.spent, day.reserved) == (Money(0), Money.of(WORST))
    assert (month.spent, month.reserved) == (Money.of(BILL), Money.of(WORST))
    clock.now = attempt.started_at
    day, _ = ledger.budget_status()
    assert (day.spent, day.reserved) == (Money.of(BILL), Money(0))
    settle(ledger, second.id)


def test_a_rolling_window_gives_room_back_as_time_passes(open_ledger: Open) -> None:
    clock = Clock()
    ledger = open_ledger(Budget("0.005", per=timedelta(minutes=10)), clock=clock)
    for _ in range(2):
        settle(ledger, ledger.try_reserve(wanted()).id, WORST)
        clock.move(minutes=4)
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted())
    clock.move(minutes=1, seconds=59)
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted())
    clock.move(seconds=2)
    ledger.try_reserve(wanted())
    [status] = ledger.budget_status()
    assert (status.spent, status.reserved) == (Money.of(WORST), Money.of(WORST))
    assert status.window_end == clock.now


def test_a_settlement_above_its_reservation_books_in_full_and_is_reported(
    open_ledger: Open, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = open_ledger(Budget("0.002", per="day"), clock=Clock())
    attempt = ledger.try_reserve(wanted("0.001"))
    with caplog.at_level(logging.WARNING, "deepthrift.budget"):
        settle(ledger, attempt.id, "0.0035")
    assert "cost 0.0035 USD, more than the 0.001 USD it reserved" in caplog.text
    [status] = ledger.budget_status()
    assert status.spent == spent(ledger) == Money.of("0.0035")
    assert status.over == Money.of("0.0015")
    assert status.left == Money(0)
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(wanted("0.000001"))


def test_a_lease_that_ends_turns_into_unknown_spend(open_ledger: Open) -> None:
    clock = Clock()
    ledger = open_ledger(Budget("0.005", per="total"), lease=60, clock=clock)
    lost, alive, done = (ledger.try_reserve(wanted("0.001")) for _ in range(3))
    settle(ledger, done.id, "0.0005")
    clock.move(seconds=59)
    ledger.renew(alive.id)
    assert ledger.sweep() == []
    clock.move(seconds=1)
    [swept] = ledger.sweep()
    assert (swept.id, swept.status, swept.error) == (lost.id, "unknown", "LeaseExpired")
    assert swept.cost.total == Money.of("0.001")
    assert swept.cost.certainty == "unknown"
    [status] = ledger.budget_status()
    assert status.unknown == Money.of("0.001")
    assert status.spent == Money.of("0.0015")
    assert status.reserved == Money.of("0.001")
    late = ledger.settle(lost.id, usage=REFERENCE, cost=cost("0.0002"), ended_at=clock.now)
    assert late.status == "settled"
    [status] = ledger.budget_status()
    assert (status.spent, status.unknown) == (Money.of("0.0007"), Money(0))


def test_a_budget_counts_what_was_booked_before_it_existed(tmp_path: Path) -> None:
    clock = Clock(NOON - timedelta(days=1))
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    with Ledger.open(url, clock=clock) as ledger:
        settle(ledger, ledger.try_reserve(wanted()).id)
        clock.now = NOON
        settle(ledger, ledger.try_reserve(wanted(mode="thinking")).id)
        ledger.hold_unknown(ledger.try_reserve(wanted("0.001")).id)
        open_one = ledger.try_reserve(wanted("0.002"))
        budgets = [
            Budget("1", per="day"),
            Budget("1", per="total"),
            Budget("1", per="day", mode="thinking"),
            Budget("1", per=timedelta(days=2)),
            Budget("1", per="day", currency="CNY"),
        ]
        with Ledger.open(url, budgets=budgets, clock=clock) as other:
            figures = [(s.spent.amount, s.reserved.amount, s.unknown.amount) for s in other.budget_status()]
            bill, unknown, in_flight = (Money.of(text).amount for text in (BILL, "0.001", "0.002"))
            assert figures == [
                (bill + unknown, in_flight, unknown),
                (bill * 2 + unknown, in_flight, unknown),
                (bill, 0, 0),
                (bill * 2 + unknown, in_flight, unknown),
                (0, 0, 0),
            ]
            settle(ledger, open_one.id, "0.0001")  # by a process that does not know the budgets
            day, *_ = other.budget_status()
            assert (day.spent.amount, day.reserved.amount) == (bill + unknown + Money.of("0.0001").amount, 0)


@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "memory"])
def test_a_process_with_budgets_of_its_own_counts_in_those_of_others(kind: str, tmp_path: Path) -> None:
    """Whether the others' came before or after the reservation, and also where its own do not cover the attempt."""
    mine = [Budget("1", per="total", mode="thinking")]
    with store_url(kind, tmp_path) as url, Ledger.open(url, budgets=mine) as ledger:
        settle(ledger, ledger.try_reserve(wanted(mode="thinking")).id)
        before = ledger.try_reserve(wanted(mode="thinking"))
        with Ledger.open(url, budgets=[Budget("1", per="total"), Budget("1", per="total", host="vllm")]) as other:
            settle(ledger, before.id)
            with Ledger.open(url, budgets=[Budget("1", per="total", model="deepseek-ai/DeepSeek-V3.1")]) as third:
                settle(ledger, ledger.try_reserve(wanted(mode="standard")).id)
                after = ledger.try_reserve(wanted(mode="thinking"))
                found = [*other.budget_status(), *third.budget_status()]
                assert {(each.spent, each.reserved) for each in found} == {(Money.of(BILL) * 3, after.reserved)}
        [own] = ledger.budget_status()
        assert (own.spent, own.reserved) == (Money.of(BILL) * 2, after.reserved)


def test_a_budget_in_the_other_currency_is_refused_without_a_rate(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("1", per="day", currency="CNY", host="deepseek"), clock=Clock())
    with pytest.raises(CurrencyMismatch, match="CNY"):
        ledger.try_reserve(wanted(host="deepseek"))
    ledger.try_reserve(wanted())
    yuan = ledger.try_reserve(wanted("0.9", host="deepseek", currency="CNY"))
    with pytest.raises(CurrencyMismatch, match="USD"):
        ledger.settle(yuan.id, usage=None, cost=cost("1"), ended_at=NOON)
    ledger.settle(yuan.id, usage=None, cost=cost("1", "CNY"), ended_at=NOON)
    assert {row.total for row in ledger.spend(by=())} == {Money.of("1", "CNY"), Money(0)}


def test_a_policy_of_warn_lets_through_and_says_so(open_ledger: Open, caplog: pytest.LogCaptureFixture) -> None:
    ledger = open_ledger(Budget("0.001", per="day", policy="warn", name="soft"), clock=Clock())
    with caplog.at_level(logging.WARNING, "deepthrift.budget"):
        ledger.try_reserve(wanted())
    assert "'soft'" in caplog.text
    [status] = ledger.budget_status()
    assert status.reserved == Money.of(WORST)


@pytest.mark.parametrize("lease", [0, -1, float("nan")])
def test_a_lease_must_be_positive(lease: float) -> None:
    with pytest.raises(ConfigurationError, match="lease"):
        Ledger.open("memory:", lease=lease)


def test_a_negative_or_monstrous_amount_is_never_booked(open_ledger: Open) -> None:
    ledger = open_ledger()
    for worst in ("-1", "9000001"):
        with pytest.raises(ConfigurationError):
            ledger.try_reserve(wanted(worst))
    attempt = ledger.try_reserve(wanted())
    for amount in ("-1", "9000001"):
        with pytest.raises(ConfigurationError):
            settle(ledger, attempt.id, amount)
    ledger.try_reserve(wanted("8999999"))


def test_a_closed_ledger_says_so(open_ledger: Open) -> None:
    ledger = open_ledger()
    attempt = ledger.try_reserve(wanted())
    ledger.close()
    ledger.close()
    uses: list[Callable[[], Any]] = [
        lambda: ledger.try_reserve(wanted()),
        lambda: settle(ledger, attempt.id),
        ledger.attempts,
        ledger.spend,
        ledger.sweep,
        ledger.budget_status,
    ]
    for use in uses:
        with pytest.raises(LedgerClosed, match="open"):
            use()


def test_attempts_are_found_by_time_call_group_and_tags(open_ledger: Open) -> None:
    clock = Clock()
    ledger = open_ledger(clock=clock)
    for attempt, call, group, tags in (
        ("1", "c1", "c1", {"team": "search"}),
        ("2", "c1", "c1", {"team": "search", 'odd "name"': "x"}),
        ("3", "c2", "g", {"team": "ads"}),
        ("4", "c3", "g", {}),
        ("5", "g", "g", {}),
    ):
        ledger.try_reserve(wanted(attempt=attempt, call=call, group=group, tags=tags))
        clock.move(seconds=1)

    def ids(**by: Any) -> str:
        return "".join(attempt.id for attempt in ledger.attempts(**by))

    assert ids() == "12345"
    assert ids(limit=2) == "45"
    assert ids(since=NOON + timedelta(seconds=2)) == "345"
    assert ids(call_id="c1") == "12"
    assert ids(group_id="g") == "345"
    assert ids(group_id="c1") == "12"
    assert ids(tags={"team": "search"}) == "12"
    assert ids(tags={"team": "search", 'odd "name"': "x"}) == "2"
    assert ids(tags={"team": "none"}) == ""
    assert ids(since=NOON + timedelta(seconds=1), group_id="c1", limit=9) == "2"


def test_completion_history_is_what_providers_reported_exactly(open_ledger: Open) -> None:
    ledger = open_ledger(clock=Clock())
    where: dict[str, Any] = {"host": "vllm", "model": "deepseek-ai/DeepSeek-V3.1"}
    for completion, certainty, mode, purpose in (
        (10, "exact", "standard", "answer"),
        (20, "estimated", "standard", "answer"),
        (30, "exact", "thinking", "answer"),
        (40, "exact", "standard", "verify"),
    ):
        attempt = ledger.try_reserve(wanted(mode=mode, purpose=purpose))
        settle(ledger, attempt.id, usage=Usage.of(5, completion, certainty=certainty))
    ledger.hold_unknown(ledger.try_reserve(wanted()).id, usage=Usage.of(5, 50))
    ledger.release(ledger.try_reserve(wanted()).id, ended_at=NOON)

    def lengths(**by: Any) -> set[int]:
        return {usage.completion_tokens for usage in ledger.completion_history(**where, **by)}

    assert lengths(mode="standard") == {10, 40}
    assert lengths(mode="thinking") == {30}
    assert lengths(mode="standard", purpose="answer") == {10}
    assert lengths(mode="standard", purpose="verify") == {40}
    assert len(lengths(mode="standard", limit=1)) == 1
    assert ledger.completion_history(host="x", model="y", mode="standard") == []


def test_an_older_sibling_sees_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    with Ledger.open(url) as one, Ledger.open(tmp_path / "spend.db") as other:
        attempt = one.try_reserve(wanted())
        settle(other, attempt.id)
        assert one.attempt(attempt.id) == other.attempt(attempt.id)
        assert one.settle(attempt.id, usage=None, cost=cost("1"), ended_at=NOON).cost == cost()
        assert spent(one) == spent(other) == Money.of(BILL)


def test_a_clock_that_jumps_back_books_all_the_same(open_ledger: Open) -> None:
    clock = Clock()
    ledger = open_ledger(Budget("0.005", per="day"), clock=clock)
    attempt = ledger.try_reserve(wanted())
    clock.move(days=-1)
    settle(ledger, attempt.id)
    [status] = ledger.budget_status()
    assert status.spent == Money(0)
    assert spent(ledger) == Money.of(BILL)
    assert isinstance(ledger.attempts()[0].started_at, datetime)
