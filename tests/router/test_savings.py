"""Savings are net of everything, never made of constants, and unknown where nobody knows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger, Money, Price, Usage
from deepthrift_router import Savings
from deepthrift_router._record.savings import estimated_savings, measured_savings
from tests.router.support import CANBERRA, QUESTION, SYDNEY, route, routing
from tests.support.bill_server import Answer

PRICE = Price(
    id="test",
    cache_hit=Decimal("0.07"),
    cache_miss=Decimal("0.56"),
    completion=Decimal("1.68"),
    checked=date(2026, 1, 1),
)
FIRST = Usage.of(100, 5)


async def test_without_recorded_thinking_nothing_is_claimed() -> None:
    reply, _ = await route(Answer("Canberra."))
    assert not reply.savings.known
    assert reply.savings.net is None
    assert "0 thinking calls are on record" in reply.savings.reason
    assert reply.savings.spent == reply.cost.total


async def test_an_escalated_answer_is_measured_against_its_own_thinking() -> None:
    reply, server = await route([SYDNEY, Answer("Canberra.")])
    thinking = server.bill.lines[-1].cost
    assert reply.savings.basis == "measured"
    assert reply.savings.net is not None
    assert reply.savings.net.amount == thinking - server.bill.total
    assert reply.savings.net < Money.zero()


async def test_an_accepted_answer_is_measured_against_recorded_thinking() -> None:
    ledger = Ledger.open("memory:")
    thoughts = [Answer("Canberra.", reasoning="So. " * count) for count in (10, 40, 90, 160)]
    async with routing(Answer("Canberra."), thoughts, ledger=ledger) as (router, server):
        client = router._client
        assert isinstance(client, AsyncClient)
        for _ in thoughts:
            await client.chat(QUESTION, mode="thinking", max_tokens=400)
        lines = list(server.bill.lines)
        reply = await router.chat(QUESTION, max_tokens=400)
        saved = reply.savings
    assert reply.mode == "standard"
    assert saved.basis == "estimated"
    assert saved.recorded == 4
    assert saved.net is not None
    assert saved.low is not None
    assert saved.high is not None
    mean = sum(line.cost for line in lines) / 4
    assert saved.net.amount == mean - reply.cost.amount
    assert saved.low < saved.net < saved.high
    ledger.close()


async def test_routing_that_costs_more_than_thinking_says_so() -> None:
    ledger = Ledger.open("memory:")
    wordy = Answer("Canberra.", text_tokens=300)
    async with routing(wordy, Answer("Canberra.", reasoning="So."), ledger=ledger) as (router, _):
        client = router._client
        assert isinstance(client, AsyncClient)
        for _ in range(5):
            await client.chat(QUESTION, mode="thinking", max_tokens=400)
        reply = await router.chat(QUESTION, max_tokens=400, policy="standard")
    assert reply.savings.net is not None
    assert reply.savings.net < Money.zero()
    ledger.close()


async def test_tools_have_no_thinking_to_compare_with() -> None:
    reply, _ = await route(Answer("Canberra."), policy="standard", response_format={"type": "text"})
    assert reply.savings.spent == reply.cost.total


def test_measured_with_the_cache_as_it_was() -> None:
    thinking = Usage.of(100, 50, cache_hit=64, reasoning=40)
    saved = measured_savings(Money.of("0.001"), thinking, FIRST, PRICE, passes=1)
    assert saved.baseline == PRICE.cost(Usage.of(100, 50)).total
    assert saved.low == saved.net == saved.high


def test_two_passes_are_taken_as_recorded() -> None:
    recorded = [Usage.of(300, 90)] * 3
    saved = estimated_savings(Money.zero(), recorded, FIRST, PRICE, passes=2)
    assert saved.baseline == PRICE.cost(Usage.of(300, 90)).total


def test_the_total_of_several_answers() -> None:
    known = estimated_savings(
        Money.of("0.0001"), [Usage.of(100, count) for count in (50, 100, 200)], FIRST, PRICE, passes=1
    )
    measured = measured_savings(Money.of("0.001"), Usage.of(100, 50), FIRST, PRICE, passes=1)
    total = Savings.sum([known, measured])
    assert total is not None
    assert known.net is not None
    assert measured.net is not None
    assert total.net == known.net + measured.net
    assert total.basis == "estimated"
    unknown = Savings.sum([known, Savings.unknown(Money.of("0.1"), "nobody knows")])
    assert unknown is not None
    assert unknown.net is None
    assert unknown.spent == known.spent + Money.of("0.1")
    assert Savings.sum([]) is None
    assert CANBERRA.text
