"""Money never rounds, never mixes currencies, and never was a float."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from deepthrift_pricing import Cost, Money
from deepthrift_pricing.errors import ConfigurationError, CurrencyMismatch

picos = st.integers(-(10**24), 10**24)


@given(st.lists(picos, max_size=20))
def test_a_sum_is_exact(amounts: list[int]) -> None:
    total = Money.sum(Money(pico) for pico in amounts)
    assert total.pico == sum(amounts)
    assert total.amount == sum((Money(pico).amount for pico in amounts), Decimal(0))


@given(picos)
def test_text_and_json_give_the_same_amount_back(pico: int) -> None:
    class Bill(BaseModel):
        total: Money

    money = Money(pico, "CNY")
    assert Money.of(money.amount, "CNY") == money
    assert Money.of(f"{money.amount:f}", "CNY") == money
    bill = Bill(total=money)
    assert Bill.model_validate_json(bill.model_dump_json()) == bill
    assert "E" not in str(money)


def test_the_third_tenth_fits_in_three_tenths() -> None:
    assert Money.of("0.1") * 3 == Money.of("0.3")


@pytest.mark.parametrize("amount", [0.1, "much", "", None, "nan", "inf", "1e-13", Decimal("0.0000000000001")])
def test_what_is_no_exact_amount_is_refused(amount: object) -> None:
    with pytest.raises(ConfigurationError):
        Money.of(amount)  # type: ignore[arg-type]


def test_currencies_never_mix() -> None:
    dollar, yuan = Money.of(1), Money.of(1, "CNY")
    for mix in (dollar.__add__, dollar.__sub__, dollar.__lt__, dollar.__le__, dollar.__gt__, dollar.__ge__):
        with pytest.raises(CurrencyMismatch):
            mix(yuan)
    with pytest.raises(CurrencyMismatch):
        Money.sum([dollar, yuan])
    with pytest.raises(CurrencyMismatch):
        Cost.zero() + Cost.zero("CNY")
    assert dollar != yuan


@pytest.mark.parametrize("raw", [{"amount": "1"}, {"amount": "1", "currency": "EUR"}, "1", 1])
def test_json_without_a_known_currency_is_refused(raw: object) -> None:
    class Bill(BaseModel):
        total: Money

    with pytest.raises(ValueError, match="currency"):
        Bill.model_validate({"total": raw})


@given(picos, picos, st.integers(-100, 100))
def test_arithmetic_and_order_are_those_of_integers(one: int, other: int, times: int) -> None:
    left, right = Money(one), Money(other)
    assert (left + right, left - right, -left) == (Money(one + other), Money(one - other), Money(-one))
    assert left * times == times * left == Money(one * times)
    assert (left < right, left <= right, left > right, left >= right) == (
        one < other,
        one <= other,
        one > other,
        one >= other,
    )
    assert bool(left) == bool(one)
    assert Money.zero() + left == left


def test_a_sum_of_costs_is_as_sure_as_its_least_sure_part() -> None:
    exact = Cost.zero()
    unsure = exact.model_copy(update={"certainty": "estimated", "price_ids": ("a",)})
    lost = exact.model_copy(update={"certainty": "unknown", "price_ids": ("b", "a")})
    assert Cost.sum([exact, unsure]).certainty == "estimated"
    both = Cost.sum([unsure, lost, exact])
    assert (both.certainty, both.price_ids) == ("unknown", ("a", "b"))
    assert Cost.sum([], "CNY") == Cost.zero("CNY")
    assert str(unsure) == "0 USD (estimated)"
