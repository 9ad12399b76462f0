"""48. An upper bound is never marked exact: brackets, cache writes, holidays, tiers, and what a host does by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger, PriceBook, Usage
from deepthrift_pricing.reports import export
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
OWN = """
[[price]]
id = "own"
cache_hit = "0.10"
cache_miss = "1"
cache_write = "1.25"
completion = "4"
checked = 2026-11-30
brackets = [{above = 200000, cache_hit = "0.20", cache_miss = "2", cache_write = "2.50", completion = "8"}]
per_request = {search = "10", call = "1"}
"""


def test_a_bracket_holds_for_the_prompts_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    book = PriceBook.load(path)

    def cost(usage: Usage) -> tuple[Decimal, str]:
        found = book.cost(usage, host="h", model="m", mode="standard", started_at=NOON)
        return found.amount, found.certainty

    assert cost(Usage.of(200_000, 1_000, cache_write=0)) == (Decimal("0.205"), "exact")
    assert cost(Usage.of(200_001, 1_000, cache_write=0)) == (Decimal("0.409002"), "exact")
    assert cost(Usage.of(1_000, 0, cache_write=400)) == (Decimal("0.0021"), "exact")
    assert cost(Usage.of(1_000, 0))[1] == "estimated"  # nobody said how much was stored
    assert cost(Usage.of(0, 0, requests={"search": 3})) == (Decimal("0.031"), "exact")
    worst = book.worst(host="h", model="m", mode="standard", prompt_tokens=200_001, max_tokens=1_000, at=NOON)
    assert worst.amount == Decimal("0.001") + Decimal("0.5000025") + Decimal("0.008")


def test_the_librarys_tiers_are_no_ceiling() -> None:
    pytest.importorskip("genai_prices")
    book = PriceBook.from_genai_prices("google")
    cost = book.cost(Usage.of(1_000, 1_000), host="google", model="gemini-2.5-pro", mode="standard", started_at=NOON)
    assert (cost.amount, cost.certainty) == (Decimal("0.01125"), "exact")


def test_a_peak_hour_that_may_be_a_holiday_is_an_estimate() -> None:
    book = PriceBook.builtin()
    usage = Usage.of(1_000_000, 0)

    def cost(moment: datetime) -> tuple[Decimal, str]:
        found = book.cost(usage, host="deepseek", model="deepseek-flash", mode="standard", started_at=moment)
        return found.amount, found.certainty

    assert cost(datetime(2026, 12, 1, 2, tzinfo=UTC)) == (Decimal("0.3"), "exact")
    assert cost(datetime(2027, 1, 1, 2, tzinfo=UTC)) == (Decimal("0.15"), "exact")
    assert cost(datetime(2027, 2, 8, 2, tzinfo=UTC)) == (Decimal("0.3"), "estimated")
    assert cost(datetime(2027, 2, 8, 12, tzinfo=UTC)) == (Decimal("0.15"), "exact")


@every_door
async def test_what_the_host_leaves_out_is_booked_as_an_estimate(door: Door, tmp_path: Path) -> None:
    """Three searches were allowed. The host says how many it made, or nothing; or names a tier without a price."""
    book = PriceBook.flat(cache_miss="1", completion="1", per_request={"search": "10"})
    book += PriceBook.flat(cache_miss="2", completion="2", tier="flex")
    search = [{"type": "deepseek_web_search", "max_uses": 3}]
    found = Answer("Paris.", prompt_tokens=1000, text_tokens=100)
    with Ledger.open("memory:") as ledger:
        deepseek = {"host": "deepseek-v4", "model": "deepseek-flash", "prices": book, "ledger": ledger}
        bedrock = {"host": "bedrock", "model": "deepseek.v3.1", "prices": book, "ledger": ledger}

        async def booked(answer: Answer, client: dict[str, object], **call: object) -> tuple[Decimal, str]:
            async with BillServer(answer) as server:
                reply = await ask(door, server, "hi", max_tokens=200, client=client, **call)
            return reply.cost.amount, reply.cost.certainty

        counted = found.but(server_tool_use={"web_search_requests": 1})
        assert await booked(counted, deepseek, tools=search) == (Decimal("0.0111"), "exact")
        assert await booked(found, deepseek, tools=search) == (Decimal("0.0311"), "estimated")
        assert await booked(found.but(service_tier="flex"), bedrock, service_tier="flex") == (
            Decimal("0.0022"),
            "exact",
        )
        assert (await booked(found.but(service_tier="reserved"), bedrock, service_tier="flex"))[1] == "estimated"
        assert sum(row.requests.amount for row in ledger.spend(by=())) == Decimal("0.04")
        export(ledger, tmp_path / "attempts.csv")
    lines = (tmp_path / "attempts.csv").read_text(encoding="utf-8").splitlines()
    columns = {name: place for place, name in enumerate(lines[0].split(","))}
    assert {"cost_requests", "requests", "service_tier"} <= set(columns)
