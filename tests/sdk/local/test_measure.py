"""Own-hardware prices on the real engine: measured, priced exactly, booked, with a hosted price beside."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import ConfigurationError
from deepthrift.local import Engine, Throughput, measure
from deepthrift.local._engine.measure import price_file
from deepthrift_pricing import PriceBook
from tests.cli.processes import deepthrift
from tests.support.tiny_gguf import tiny_gguf

FOUND = Throughput(completion_tokens_per_second=Decimal("40"), prompt_tokens_per_second=Decimal("200"), slots=1, runs=3)


def test_the_price_is_the_hour_spread_over_the_tokens() -> None:
    price = FOUND.price("0.072", utilisation="0.5")
    assert price.completion == Decimal("1.000000")  # 0.072 USD / (40 × 3600 × 0.5) tokens
    assert price.cache_miss == Decimal("0.200000")
    assert price.cache_hit == 0
    assert "measured" in price.source
    for wrong in ("0", "-1", "much"):
        with pytest.raises(ConfigurationError):
            FOUND.price(wrong)


def test_the_price_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(price_file(FOUND, "0.072", "0.5", 'a "tiny" model'))
    [row] = PriceBook.load(path).rows
    made = FOUND.price("0.072", utilisation="0.5")
    assert (row.cache_hit, row.cache_miss, row.completion) == (made.cache_hit, made.cache_miss, made.completion)


@pytest.mark.slow
@pytest.mark.engine
async def test_calls_are_booked_at_what_this_machine_costs() -> None:
    engine = Engine(tiny_gguf("answer"), context=1024, slots=2)
    async with AsyncClient.local(engine=engine, machine_hour="0.05", utilisation="0.25") as client:
        [row] = client.prices.rows
        assert row.completion > 0
        reply = await client.chat("What is the capital of France?", max_tokens=32)
        assert reply.cost == row.cost(reply.usage)
        brief = PriceBook.named("brief")
        assert reply.cost_at(brief) == brief.find(
            host="local", model=reply.attempts[0].model, mode="standard", at=reply.attempts[0].started_at
        ).cost(reply.usage)
        again = await measure(engine, runs=1)
        assert (again.slots, again.runs) == (2, 1)
        assert again.completion_tokens_per_second > 0
        assert len(client.ledger.attempts()) == 1, "measuring is no call"


def test_prices_come_from_one_place() -> None:
    with pytest.raises(ConfigurationError, match="not from both"):
        AsyncClient.local(prices="brief", machine_hour="1")


@pytest.mark.parametrize(("hour", "busy"), [("0", "1"), ("-1", "1"), ("much", "1"), ("1", "0"), ("1", "1.5")])
def test_a_wrong_figure_is_refused_before_a_model_is_loaded(hour: str, busy: str) -> None:
    with pytest.raises(ConfigurationError):
        AsyncClient.local("not-here.gguf", machine_hour=hour, utilisation=busy)


@pytest.mark.slow
@pytest.mark.engine
def test_from_the_command_line(tmp_path: Path) -> None:
    model, out = str(tiny_gguf("answer")), tmp_path / "mine.toml"
    assert deepthrift("models", "measure", model, "--out", str(out)).code == 2
    ran = deepthrift("models", "measure", model, "--hour", "0.05", "--runs", "1", "--out", str(out), "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    [row] = PriceBook.load(out).rows
    assert Decimal(told["price"]["completion"]) == row.completion
    asked = deepthrift("ask", "--model", model, "--prices", str(out), "--beside", "brief", "--json", "Hello")
    assert asked.code == 0, asked.err
    reply = json.loads(asked.out)
    assert reply["cost"]["price_ids"] == [row.id]
    assert Decimal(reply["beside"]["brief"]["total"]["amount"]) > 0
