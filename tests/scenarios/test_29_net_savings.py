"""29. Savings are net of scoring, verification and rejected drafts, and negative when routing cost more."""

from __future__ import annotations

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.oracle import oracle

QUESTION = "How many primes are below 1,000?"
THOUGHT = Answer("There are 168 primes below 1,000.", reasoning="Let me sieve them. " * 60)


async def test_an_escalation_costs_more_than_thinking_at_once_and_says_so() -> None:
    """Had the call thought at once, only the last line of the bill would be there."""
    standard = [Answer("There are 167 primes."), Answer("There are 170 primes.")]
    async with (
        BillServer(oracle(QUESTION, standard, THOUGHT)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=1000)
    thinking = server.bill.lines[-1].cost
    assert reply.mode == "thinking"
    assert reply.savings.net.amount == thinking - server.bill.total < 0


async def test_an_accepted_answer_saves_what_thinking_would_have_cost_less_everything_spent() -> None:
    """After a few recorded runs of both modes, the estimate of thinking that was not done comes from them."""
    ledger = Ledger.open("memory:")
    standard = Answer("There are 168 primes.")
    async with (
        BillServer(oracle(QUESTION, [standard], THOUGHT)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        for _ in range(20):
            await client.chat(QUESTION, mode="thinking", max_tokens=1000)
        thinking, before = server.bill.lines[0].cost, server.bill.total
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=1000)
        routed = server.bill.total - before
    assert reply.mode == "standard"
    assert reply.cost.amount == routed
    assert reply.savings.net.amount == thinking - routed > 0
    ledger.close()
