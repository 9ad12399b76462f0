"""Budgets as settings: what is accepted, what is refused with a clear message, and what falls into their scope."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Budget, BudgetStatus, Money
from deepthrift_pricing._values.budget import admits
from deepthrift_pricing.errors import ConfigurationError


@pytest.mark.parametrize(
    ("limit", "settings", "told"),
    [
        ("-1", {}, "possible limit"),
        ("much", {}, "much"),
        ("1e-13", {}, "decimals"),
        ("99999999999", {}, "possible limit"),
        (0.1, {}, "0.1"),
        ("1", {"per": "fortnight"}, "per"),
        ("1", {"per": timedelta(0)}, "millisecond"),
        ("1", {"zone": "Mars/Base"}, "Mars/Base"),
        ("1", {"policy": "pray"}, "policy"),
        ("1", {"mode": "deep"}, "mode"),
        ("1", {"per": "total", "anchor": datetime(2026, 1, 1)}, "anchor"),  # noqa: DTZ001
        ("1", {"anchor": datetime(2026, 1, 1, tzinfo=UTC)}, "zone"),
        (Money.of("1", "CNY"), {"currency": "USD"}, "CNY"),
        ("1", {"currency": "EUR"}, "currency"),
    ],
)
def test_a_wrong_setting_is_named(limit: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Budget(limit, **{"per": "day", **settings})


def test_a_limit_may_be_given_in_many_ways() -> None:
    assert Budget(1, "day").limit == Budget("1.00", "day").limit == Budget(Money.of(1), "day").limit == Money.of(1)
    assert Budget("3", per="day", currency="CNY").limit == Money.of(3, "CNY")


def test_a_budget_survives_json_and_shows_itself() -> None:
    budget = Budget("5", per="month", tags={"team": "search"}, zone="Asia/Shanghai", policy="refuse", name="search")
    assert Budget.model_validate_json(budget.model_dump_json()) == budget
    assert repr(budget) == (
        "Budget('5 USD', per='month', tags={'team': 'search'}, zone='Asia/Shanghai', policy='refuse', name='search')"
    )
    assert budget.label == "search"
    assert Budget("5", per="month", tags={"team": "search"}).label == "5 USD per month, team=search"


tags = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y", "ü"]), max_size=3)
budgets = st.builds(
    Budget,
    st.integers(0, 100),
    per=st.sampled_from(["call", "answer", "hour", "day", "week", "month", "total", timedelta(minutes=90)]),
    tags=tags,
    host=st.none() | st.just("vllm"),
    model=st.none() | st.just("DeepSeek"),
    mode=st.none() | st.just("thinking"),
    each=st.lists(st.sampled_from("abc"), unique=True, max_size=2).map(tuple),
    zone=st.sampled_from(["UTC", "Asia/Shanghai"]),
    policy=st.sampled_from(["wait", "refuse"]),
    currency=st.sampled_from(["USD", "CNY"]),
)


@given(budgets, budgets)
def test_a_scope_names_exactly_what_is_counted(one: Budget, other: Budget) -> None:
    again = Budget.of_scope(one.scope)
    assert again.scope == one.scope
    told = {"per", "tags", "host", "model", "mode"}
    same = one.model_dump(include=told) == other.model_dump(include=told) and set(one.each) == set(other.each)
    same = same and one.currency == other.currency
    same = same and (one.zone == other.zone or one.per in ("call", "answer", "total") or isinstance(one.per, timedelta))
    assert (one.scope == other.scope) == same


@given(budgets, tags, st.sampled_from(["vllm", "deepseek"]), st.sampled_from(["standard", "thinking"]))
def test_what_a_budget_covers(budget: Budget, carried: dict[str, str], host: str, mode: str) -> None:
    covers = budget.covers(host, "deepseek", mode, carried)
    assert covers == (
        budget.tags.items() <= carried.items()
        and set(budget.each) <= set(carried)
        and budget.host in (None, host)
        and budget.mode in (None, mode)
    )
    if covers:
        parts = {budget.part("call", "group", carried), budget.part("call", "group", carried | {"other": "tag"})}
        assert len(parts) == 1


@given(*(st.integers(0, 10**15),) * 4)
def test_the_one_predicate(limit: int, spent: int, reserved: int, worst: int) -> None:
    assert admits(limit, spent, reserved, worst) == (not worst or spent + reserved + worst <= limit)
    assert admits(spent + reserved + worst, spent, reserved, worst)
    assert not worst or not admits(spent + reserved + worst - 1, spent, reserved, worst)
    assert admits(0, spent, reserved, 0)


def test_a_status_tells_what_is_left_and_what_is_over() -> None:
    def status(spent: str, reserved: str) -> BudgetStatus:
        return BudgetStatus(
            budget=Budget("1", per="day"),
            spent=Money.of(spent),
            reserved=Money.of(reserved),
            unknown=Money(0),
            window_start=None,
            window_end=None,
        )

    assert status("0.25", "0.5").left == Money.of("0.25")
    assert status("0.25", "0.5").over == Money(0)
    assert status("1.25", "0.5").left == Money(0)
    assert status("1.25", "0.5").over == Money.of("0.25")
    assert status("0", "0").limit == Money.of(1)
    assert status("0", "0").name == "1 USD per day"
