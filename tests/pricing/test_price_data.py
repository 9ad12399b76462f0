"""Price files: the packaged ones are sane, and a mistake in a user's own is named."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Price, PriceBook
from deepthrift_pricing._prices.data import packaged_names, packaged_prices, parse_prices
from deepthrift_pricing.errors import PriceDataError

FILES = [*packaged_names(), *(f"profiles/{name}" for name in packaged_names("profiles"))]
ROW = '[[price]]\nid = "a"\ncache_miss = "1"\ncompletion = "2"\nchecked = 2026-11-01\n'


def test_every_file_is_there() -> None:
    assert "deepseek" in FILES
    assert {"profiles/brief", "profiles/official-2025-09-05", "profiles/official-2025-09-29"} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_packaged_prices_are_possible_sourced_and_checked(name: str) -> None:
    for price in packaged_prices(name):
        amounts = [price.cache_miss, price.completion] + ([] if price.cache_hit is None else [price.cache_hit])
        assert all(Decimal("0.001") <= amount <= 300 for amount in amounts), price.id
        assert (price.cache_hit or 0) <= price.cache_miss <= price.completion, price.id
        assert price.source, price.id
        assert date(2025, 1, 1) <= price.checked <= date.today() + timedelta(days=1), price.id  # noqa: DTZ011
        hit, miss, completion = price.pico
        assert Decimal(miss) == price.cache_miss * 10**6
        assert Decimal(completion) == price.completion * 10**6
        assert Decimal(hit) == (price.cache_miss if price.cache_hit is None else price.cache_hit) * 10**6


def test_ids_are_unique_over_all_files() -> None:
    ids = [price.id for name in FILES for price in packaged_prices(name)]
    assert len(ids) == len(set(ids))


def test_two_currencies_and_two_windows_make_four_prices() -> None:
    rows = parse_prices(
        """
        [[price]]
        id = "peak"
        usd = ["0.01", "0.2", "0.3"]
        cny = ["", "1.5", "3"]
        times = 2
        daily = [["01:00:00", "04:00:00"], ["06:00:00", "10:00:00"]]
        checked = 2026-11-01
        """,
        "mine",
    )
    assert [row.id for row in rows] == ["peak/usd/1", "peak/usd/2", "peak/cny/1", "peak/cny/2"]
    assert [row.cache_hit for row in rows] == [Decimal("0.02"), Decimal("0.02"), None, None]
    assert {row.completion for row in rows} == {Decimal("0.6"), Decimal("6")}


def test_numbers_in_a_file_are_exact_as_written() -> None:
    [row] = parse_prices(ROW.replace('"1"', "0.1").replace('"2"', "0.3"), "mine")
    assert (row.cache_miss, row.completion) == (Decimal("0.1"), Decimal("0.3"))


def test_machines_of_ones_own_are_prices_in_a_file() -> None:
    rows = parse_prices(
        """
        host = "vllm"
        checked = 2026-11-01
        decided_by = "start"

        [[price]]
        id = "rented"
        cache_miss = "1"
        completion = "2"

        [[hardware]]
        id = "own"
        gpus = 8
        gpu_hour = "2.50"
        utilisation = "0.5"
        completion_tokens_per_second = 2500
        prompt_tokens_per_second = 20000
        source = "measured on 2026-10-30"

        [[hardware]]
        id = "brief"
        machine = "brief-production"
        gpu_hour = "2.50"
        utilisation = "0.5"
        """,
        "mine",
    )
    rented, own, brief = rows
    assert rented.host == own.host == brief.host == "vllm"
    # 8 GPUs at 2.50 an hour, busy half of it: 40 USD for each hour of work, in which 9,000,000 tokens are generated.
    assert (own.cache_hit, own.cache_miss, own.completion) == (0, Decimal("0.555556"), Decimal("4.444445"))
    assert "measured on 2026-10-30" in own.source
    # 2 GPUs: 10 USD an hour of work for 380 tokens a second, which carry all of it.
    assert (brief.cache_miss, brief.completion) == (0, Decimal("7.309942"))
    assert "project brief" in brief.source


MACHINE = (
    '[[hardware]]\nid = "a"\ngpus = 8\ngpu_hour = "2.50"\nutilisation = "0.5"\n'
    "completion_tokens_per_second = 2500\nchecked = 2026-11-01\n"
)
MISTAKES = {
    "not TOML": ("[[price]\n", "not valid TOML"),
    "no rows": ("host = 'x'\n", "price"),
    "rows that are not tables": ("price = [1]\n", "row 1"),
    "unknown key": (ROW + "colour = 'red'\n", "colour"),
    "no check date": (ROW.replace("checked = 2026-11-01", ""), "checked"),
    "a negative price": (ROW.replace('"1"', '"-1"'), "cache_miss"),
    "a price per token": (ROW.replace('"1"', '"0.00000028"'), "per token"),
    "a price that is too high": (ROW.replace('"1"', '"55000"'), "per token"),
    "a price that is no number": (ROW.replace('"1"', '"cheap"'), "cache_miss"),
    "an infinite price": (ROW.replace('"1"', '"inf"'), "finite"),
    "seven decimals": (ROW.replace('"1"', '"0.1234567"'), "six decimals"),
    "a truth for a price": (ROW.replace('"1"', "true"), "cache_miss"),
    "a hit dearer than a miss": (ROW + 'cache_hit = "1.5"\n', "hit"),
    "an end before the start": (
        ROW + "valid_from = 2026-02-01T00:00:00Z\nvalid_to = 2026-01-01T00:00:00Z\n",
        "valid_from",
    ),
    "a moment without a zone": (ROW + "valid_from = 2026-02-01T00:00:00\n", "zone"),
    "an unknown zone": (ROW + "zone = 'Mars/Base'\n", "zone"),
    "weekday 8": (ROW + "weekdays = [8]\n", "weekdays"),
    "no weekday": (ROW + "weekdays = []\n", "weekdays"),
    "an empty window": (ROW + 'daily = ["01:00:00", "01:00:00"]\n', "window"),
    "no model": (ROW + "models = []\n", "model"),
    "an unknown currency": (ROW + "currency = 'EUR'\n", "currency"),
    "two ways at once": (ROW + 'usd = ["1", "2", "3"]\n', "not both"),
    "two amounts instead of three": (ROW.replace('cache_miss = "1"\ncompletion', 'usd = ["1", "2"]\nnote'), "three"),
    "times nothing": (ROW + "times = 'twice'\n", "times"),
    "the same id twice": (ROW + ROW, "twice"),
    "machines that are not tables": ("hardware = 8\n", "hardware"),
    "no throughput": (MACHINE.replace("completion_tokens_per_second = 2500\n", ""), "completion_tokens_per_second"),
    "an unknown machine": (MACHINE + 'machine = "abacus"\n', "brief-production"),
    "a machine without a published throughput": (
        MACHINE.replace("completion_tokens_per_second = 2500", 'machine = "published-h200"'),
        "no throughput is published",
    ),
    "a machine that is never busy": (MACHINE.replace('"0.5"', '"0"'), "utilisation"),
    "a machine that costs nothing": (MACHINE.replace('"2.50"', '"0"'), "gpu_hour"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(case: str, tmp_path: Path) -> None:
    text, told = MISTAKES[case]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(PriceDataError, match=told) as refused:
        PriceBook.load(path)
    assert "mine.toml" in str(refused.value)


@pytest.mark.parametrize(
    "amounts",
    [
        {"cache_miss": 0.28, "completion": "1"},
        {"cache_miss": "x", "completion": "1"},
        {"cache_miss": "1", "completion": "1", "thinking": {"output": "1"}},
        {"cache_miss": "1", "completion": "1", "thinking": {"cache_hit": "3"}},
        {"cache_miss": "1", "completion": "1", "currency": "EUR"},
    ],
)
def test_a_flat_price_with_a_mistake_is_refused(amounts: dict[str, object]) -> None:
    with pytest.raises(PriceDataError):
        PriceBook.flat(**amounts)  # type: ignore[arg-type]


def test_a_price_is_frozen_and_survives_json() -> None:
    for row in PriceBook.builtin().rows:
        assert Price.model_validate_json(row.model_dump_json()) == row
    assert row.valid_from is None or row.valid_from <= datetime.now(UTC)
