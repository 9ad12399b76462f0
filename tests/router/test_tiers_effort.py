"""Tiers that differ in effort ask for it in the host's own words, and are booked by it."""

from __future__ import annotations

import pytest

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer, Received
from tests.support.doors import settings

V4 = {"host": "deepseek-v4", "model": "deepseek-v4-flash"}


def doubtful(request: Received) -> Answer:
    """Standard mode contradicts itself; thinking is sure."""
    if request.mode_asked == "standard":
        return Answer(f"The answer is {len(request.body) + request.number}.")
    return Answer("The answer is 42.", reasoning=["Let", " me", " see."])


async def test_a_ladder_of_efforts_climbs() -> None:
    ladder = ["standard", "thinking:low", "thinking:max"]
    async with (
        BillServer(doubtful) as server,
        AsyncClient(**settings(server, **V4)) as client,
        ModeRouter(client, tiers=ladder) as router,
    ):
        reply = await router.chat("What is 6 times 7?", max_tokens=300, policy="cascade")
        assert list(router.tiers) == ladder
    efforts = [request.body.get("reasoning_effort") for request in server.requests]
    booked = [attempt.effort for attempt in reply.attempts]
    assert reply.text == "The answer is 42."
    assert reply.tier.startswith("thinking:")
    assert efforts == booked
    assert {"low", "max"} & set(efforts)


@pytest.mark.parametrize("effort", ["low", "max"])
async def test_the_effort_of_a_call_holds_for_its_thinking(effort: str) -> None:
    async with (
        BillServer(doubtful) as server,
        AsyncClient(**settings(server, **V4)) as client,
        ModeRouter(client) as router,
    ):
        reply = await router.chat("What is 6 times 7?", max_tokens=300, policy="thinking", effort=effort)
    assert [request.body["reasoning_effort"] for request in server.requests] == [effort]
    assert reply.attempts[0].effort == effort


async def test_a_level_that_the_host_lacks_is_no_tier_to_climb_to() -> None:
    async with (
        BillServer(doubtful) as server,
        AsyncClient(**settings(server)) as client,
        ModeRouter(client, tiers=["standard", "thinking:low", "thinking"]) as router,
    ):
        reply = await router.chat("What is 6 times 7?", max_tokens=300, policy="cascade")
    assert reply.tier in ("standard", "thinking")
    assert not any("reasoning_effort" in request.body for request in server.requests)
