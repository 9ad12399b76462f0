"""Own hardware as a price, and hosted against self-run."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Money, Usage
from deepthrift_pricing._prices.hardware import Machine, Weights, known_machines, known_weights
from deepthrift_pricing._prices.plan import HOURS_PER_MONTH, Load, make_plan
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing.errors import ConfigurationError

MACHINES = {machine.id: machine for machine in known_machines()}
WEIGHTS = {weights.id: weights for weights in known_weights()}
HOSTED = Price(id="hosted", cache_hit="0.07", cache_miss="0.56", completion="1.68", checked=date(2026, 11, 23))


def test_a_price_from_gpu_hours_pays_exactly_for_the_hour() -> None:
    price = MACHINES["brief-production"].price("2.00", utilisation="0.5", checked=date(2026, 11, 23))
    # 2 GPUs at 2 USD, busy half the time: 380 × 1800 tokens pay for 4 USD.
    assert price.completion == Decimal("5.847954")
    paid = price.cost(Usage.of(0, 380 * 1800)).total
    assert Money.of("4") <= paid < Money.of("4.000001")
    assert price.cache_miss == 0
    assert "completion tokens alone" in price.note


@given(
    rate=st.decimals("1", "5000", places=1),
    hour=st.decimals("0.1", "20", places=2),
    busy=st.decimals("0.05", "1", places=2),
    gpus=st.integers(1, 16),
)
def test_the_price_never_falls_short_of_the_machine(rate: Decimal, hour: Decimal, busy: Decimal, gpus: int) -> None:
    machine = Machine(
        id="m",
        name="m",
        gpus=gpus,
        memory_gb=80,
        completion_tokens_per_second=rate,
        prompt_tokens_per_second=rate * 10,
        origin="stated",
        source="test",
    )
    try:
        price = machine.price(hour, utilisation=busy, checked=date(2026, 1, 1))
    except ValueError:
        assert hour * gpus * 1_000_000 / (rate * 3600 * busy) > 1000  # refused: no token costs 1,000 USD per million
        return
    tokens = int(rate * 3600 * busy)
    assert price.cost(Usage.of(0, tokens)).amount >= hour * gpus * tokens / (rate * 3600 * busy)
    assert price.cache_miss <= price.completion


@pytest.mark.parametrize(("hour", "busy"), [("0", "0.5"), ("-1", "0.5"), ("2", "0"), ("2", "1.1"), ("x", "0.5")])
def test_impossible_figures_are_refused(hour: str, busy: str) -> None:
    with pytest.raises(ConfigurationError):
        MACHINES["brief-development"].price(hour, utilisation=busy)


def test_a_machine_without_a_published_throughput_has_no_price() -> None:
    with pytest.raises(ConfigurationError, match="measure"):
        MACHINES["published-h200"].price("2", utilisation="0.5")


@pytest.mark.parametrize("name", ["brief-development", "brief-production", "brief-high-volume", "brief-domestic"])
def test_the_plan_says_that_the_briefs_machines_cannot_hold_the_briefs_weights(name: str) -> None:
    machine, weights = MACHINES[name], WEIGHTS["brief-int8"]
    plan = make_plan(
        Load(requests=1000, prompt_tokens=2000, completion_tokens=500),
        hosted=[HOSTED],
        machines=[machine],
        weights=weights,
        gpu_hour="2",
    )
    (option,) = plan.machines
    assert not option.fits
    assert f"{machine.memory_gb} GB cannot hold INT8 (350 GB, brief)" in option.notes[0]
    assert option.machines == -(-350 // machine.memory_gb)


def test_a_published_machine_that_fits_has_no_invented_throughput() -> None:
    plan = make_plan(
        Load(requests=1000, prompt_tokens=2000, completion_tokens=500),
        hosted=[HOSTED],
        machines=[MACHINES["published-h200"]],
        weights=WEIGHTS["published-fp8"],
        gpu_hour="2",
    )
    (option,) = plan.machines
    assert option.fits
    assert option.per_month is None
    assert "no throughput is published" in option.notes[0]


def test_break_even_is_where_both_months_cost_the_same() -> None:
    machine = Machine(
        id="own",
        name="own",
        gpus=1,
        memory_gb=1000,
        completion_tokens_per_second=Decimal(1000),
        prompt_tokens_per_second=Decimal(100000),
        origin="stated",
        source="test",
    )
    load = Load(requests=100_000, prompt_tokens=2000, completion_tokens=500, cache_hit_share=Decimal("0.768"))
    plan = make_plan(load, hosted=[HOSTED], machines=[machine], weights=WEIGHTS["brief-full"], gpu_hour="1")
    assert plan.hosted[0].per_request == Money.of("0.00120736")
    assert plan.hosted[0].per_month == Money.of("120.736")
    (option,) = plan.machines
    assert option.machines == 2  # by memory: 1,300 GB on machines of 1,000 GB
    assert option.per_month == Money.of(2 * HOURS_PER_MONTH)
    point = option.break_even["hosted"]
    assert point is not None
    assert plan.hosted[0].per_request * point >= option.per_month > plan.hosted[0].per_request * (point - 1)


def test_break_even_is_never_when_the_machine_cannot_serve_so_much() -> None:
    slow = Machine(
        id="own",
        name="own",
        gpus=8,
        memory_gb=2000,
        completion_tokens_per_second=Decimal(10),
        origin="stated",
        source="test",
    )
    plan = make_plan(
        Load(requests=10, prompt_tokens=10, completion_tokens=500),
        hosted=[HOSTED],
        machines=[slow],
        weights=Weights(id="w", name="w", memory_gb=1, origin="stated", source="test"),
        gpu_hour="3",
    )
    assert plan.machines[0].break_even == {"hosted": None}


def test_two_currencies_are_not_compared() -> None:
    yuan = HOSTED.model_copy(update={"currency": "CNY"})
    with pytest.raises(ConfigurationError, match="one currency"):
        make_plan(
            Load(requests=1, prompt_tokens=1, completion_tokens=1),
            hosted=[yuan],
            machines=[],
            weights=WEIGHTS["brief-int8"],
            gpu_hour="1",
        )
