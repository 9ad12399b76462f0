"""13, 16, 17 and 29 through every way into the router: attempts, useless answers, the request, net savings."""

from __future__ import annotations

import pytest

from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.oracle import oracle
from tests.support.routes import Way, every_way, route

QUESTION = "How many primes are below 1,000?"
DISAGREEING = [Answer("There are 167 primes below 1,000."), Answer("There are 170 primes below 1,000.")]
THOUGHT = Answer("There are 168 primes below 1,000.", reasoning="Let me sieve them. " * 20)


@every_way
async def test_an_escalated_answer_reports_every_attempt(way: Way) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(oracle(QUESTION, DISAGREEING, THOUGHT)) as server:
        reply = await route(way, server, QUESTION, client={"ledger": ledger}, max_tokens=400)
        assert reply.text == THOUGHT.text
        assert reply.cost.amount == server.bill.total
        assert [attempt.cost.amount for attempt in reply.attempts] == [line.cost for line in server.bill.lines]
    assert reply.path == ("standard", "sample", "escalate")
    assert ledger.attempts(group_id=reply.group_id) == list(reply.attempts)
    assert reply.savings.net is not None
    assert reply.savings.net.amount == reply.attempts[-1].cost.amount - reply.cost.amount
    ledger.close()


@every_way
@pytest.mark.parametrize(
    "useless", [Answer("The answer is 42", finish_reason="length"), Answer("  \n ")], ids=["cut off", "blank"]
)
async def test_a_useless_answer_is_never_confident(way: Way, useless: Answer) -> None:
    async with BillServer(oracle(QUESTION, [useless], useless)) as server:
        reply = await route(way, server, QUESTION, max_tokens=400)
        assert reply.cost.amount == server.bill.total
    assert reply.confidence < 0.5
    assert reply.escalated


@every_way
async def test_the_request_is_left_alone(way: Way) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    before = [dict(message) for message in messages]
    async with BillServer(oracle(QUESTION, DISAGREEING, THOUGHT)) as server:
        await route(way, server, messages, max_tokens=77)
        assert [request.messages for request in server.requests] == [before] * 3
        assert {request.max_tokens for request in server.requests} == {77}
    assert messages == before
