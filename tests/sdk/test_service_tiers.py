"""`service_tier`: refused where a host lacks it, sent in its form, reserved and booked at the price of the tier."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift import AsyncClient, HostProfile
from deepthrift.errors import InvalidRequestError, PriceNotFound, UnsupportedFeature
from deepthrift_pricing import Budget, Ledger, PriceBook
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door

FLEX = Answer("Paris.", prompt_tokens=1000, text_tokens=100, service_tier="flex")


def book() -> PriceBook:
    """Three tiers, each ten times the price of the one before."""
    tiers = {"flex": "1", "standard": "10", "priority": "100"}
    found = PriceBook()
    for tier, amount in tiers.items():
        found += PriceBook.flat(cache_miss=amount, completion=amount, tier=tier, name=tier)
    return found


def client(ledger: Ledger, **changes: object) -> dict[str, object]:
    return {"host": "bedrock", "model": "deepseek.v3.1", "prices": book(), "ledger": ledger, **changes}


@every_door
async def test_a_tier_is_sent_reserved_booked_and_kept(door: Door) -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FLEX) as server:
            reply = await ask(door, server, "x" * 100, service_tier="flex", max_tokens=200, client=client(ledger))
            [request] = server.requests
        assert request.body["service_tier"] == "flex"
        [attempt] = ledger.attempts()
        assert attempt.service_tier == "flex"
        assert attempt.cost.amount == Decimal("0.0011")
        assert attempt.cost.certainty == "exact"
        assert attempt.cost.price_ids == ("flex",)
        assert attempt.reserved == book().worst(
            host="bedrock", model="deepseek.v3.1", mode="standard", prompt_tokens=_bound(attempt), max_tokens=200,
            tier="flex",
        )  # fmt: skip
        assert not [warning for warning in reply.warnings if "tier" in warning]


def _bound(attempt: object) -> int:
    """The prompt's tokens in the reservation, at 1 USD per million."""
    return int(attempt.reserved.amount * 1_000_000) - 200  # type: ignore[attr-defined]


@every_door
async def test_what_the_host_says_it_used_is_what_is_booked(door: Door) -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FLEX.but(service_tier="default")) as server:
            reply = await ask(door, server, service_tier="priority", max_tokens=200, client=client(ledger))
        [attempt] = ledger.attempts()
        assert attempt.service_tier == "standard"
        assert attempt.cost.amount == Decimal("0.011")
        assert attempt.cost.certainty == "exact"
        told = "the service tier 'priority' was asked for, and the host says that 'standard' served the request"
        assert told in reply.warnings


async def test_a_tier_without_a_price_is_booked_as_an_estimate_and_told() -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FLEX.but(service_tier="reserved")) as server:
            reply = await ask("async", server, service_tier="flex", max_tokens=200, client=client(ledger))
        [attempt] = ledger.attempts()
        assert (attempt.service_tier, attempt.cost.certainty) == ("reserved", "estimated")
        assert any("'reserved' served the request" in warning for warning in reply.warnings)


@every_door
async def test_a_host_without_the_tier_refuses_before_anything_is_sent(door: Door) -> None:
    async with BillServer(FLEX) as server:
        for host, known in (("bedrock", "it has default, flex, priority"), ("vllm", "it has none")):
            with pytest.raises(UnsupportedFeature, match=known):
                await ask(door, server, service_tier="turbo", client={"host": host, "prices": book()})
        with pytest.raises(InvalidRequestError, match="the name of a tier"):
            await ask(door, server, service_tier="", client={"host": "bedrock", "prices": book()})
        assert not server.requests


async def test_the_usual_tier_needs_no_word_of_the_host() -> None:
    async with BillServer(FLEX.but(service_tier=None)) as server:
        for name in ("standard", "default", "auto"):
            reply = await ask("async", server, service_tier=name, client={"host": "vllm", "prices": book()})
            assert reply.attempts[0].service_tier is None
        assert all("service_tier" not in request.body for request in server.requests)


async def test_no_price_of_the_tier_is_an_error_and_nothing_is_sent() -> None:
    prices = PriceBook.flat(cache_miss="1", completion="1")
    async with BillServer(FLEX) as server:
        with pytest.raises(PriceNotFound, match="There is one for the tier 'standard'"):
            await ask("async", server, service_tier="flex", client={"host": "bedrock", "prices": prices})
        assert not server.requests


async def test_a_tier_in_the_extra_body_is_priced_too() -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FLEX.but(service_tier=None)) as server:
            await ask("async", server, extra_body={"service_tier": "flex"}, max_tokens=200, client=client(ledger))
            await ask("async", server, max_tokens=200, client=client(ledger, extra_body={"service_tier": "priority"}))
        assert [attempt.service_tier for attempt in ledger.attempts()] == ["flex", "priority"]
        assert [attempt.cost.amount for attempt in ledger.attempts()] == [Decimal("0.0011"), Decimal("0.11")]


async def test_the_estimate_is_what_gets_reserved() -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FLEX) as server, AsyncClient(server.url, **client(ledger)) as asking:  # type: ignore[arg-type]
            for tier in ("flex", "priority", None):
                estimate = asking.estimate("hi", service_tier=tier, max_tokens=20)
                reply = await asking.chat("hi", service_tier=tier, max_tokens=20)
                assert estimate.worst == reply.attempts[0].reserved


async def test_a_budget_holds_at_the_price_of_the_tier() -> None:
    """At flex ten calls fit, where one at priority would not."""
    with Ledger.open("memory:", budgets=[Budget("0.0125", per="total", policy="refuse")]) as ledger:
        async with BillServer(FLEX) as server:
            for _ in range(10):
                await ask("async", server, "hi", service_tier="flex", max_tokens=200, client=client(ledger))
        assert ledger.budget_status()[0].spent.amount == Decimal("0.011")


async def test_a_profile_of_ones_own_says_how_a_tier_is_sent() -> None:
    profile = HostProfile.parse(
        """
        name = "mine"
        [service_tiers.fast]
        body = {lane = 7}
        headers = {x-lane = "7"}
        reported = ["lane-7"]
        """
    )
    prices = PriceBook.flat(cache_miss="1", completion="1", tier="fast")
    async with BillServer(FLEX.but(service_tier="lane-7")) as server:
        reply = await ask("async", server, service_tier="fast", client={"host": profile, "prices": prices})
        [request] = server.requests
    assert (request.body["lane"], request.headers["x-lane"]) == (7, "7")
    assert reply.attempts[0].service_tier == "fast"
    assert reply.cost.certainty == "exact"
