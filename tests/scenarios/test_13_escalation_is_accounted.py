"""13. An escalated answer reports every attempt, what each one cost, and the path taken."""

from __future__ import annotations

from deepthrift import AsyncClient
from deepthrift_pricing import Ledger
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.oracle import oracle

QUESTION = "How many primes are below 1,000?"
DISAGREEING = [Answer("There are 167 primes below 1,000."), Answer("There are 170 primes below 1,000.")]
THOUGHT = Answer("There are 168 primes below 1,000.", reasoning="Let me sieve them. " * 20)


async def test_every_attempt_of_an_escalated_answer_is_reported() -> None:
    ledger = Ledger.open("memory:")
    async with (
        BillServer(oracle(QUESTION, DISAGREEING, THOUGHT)) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
    ):
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=400)
    assert "168" in reply.text
    assert reply.mode == "thinking"
    assert len(reply.attempts) == len(server.requests) >= 2
    by_mode = [attempt.mode for attempt in reply.attempts]
    assert by_mode == [request.mode_ran for request in server.requests]
    assert by_mode[0] == "standard"
    assert by_mode[-1] == "thinking"
    for attempt, line in zip(reply.attempts, server.bill.lines, strict=True):
        assert attempt.cost.amount == line.cost
        assert attempt.usage is not None
        assert attempt.usage.completion_tokens == line.completion_tokens
    assert reply.cost.amount == server.bill.total
    assert reply.usage.completion_tokens == sum(line.completion_tokens for line in server.bill.lines)
    assert [attempt.purpose for attempt in reply.attempts][-1] == "escalate"
    assert "escalate" in str(reply.path)
    assert len({attempt.group_id for attempt in reply.attempts}) == 1
    booked = ledger.attempts(group_id=reply.attempts[0].group_id)
    assert {attempt.id for attempt in booked} == {attempt.id for attempt in reply.attempts}
    assert len(ledger.attempts()) == len(booked)
    ledger.close()


async def test_an_accepted_answer_reports_its_attempts_too() -> None:
    async with (
        BillServer(oracle("capital of France", [Answer("Paris.")], Answer("Paris."))) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client).chat("What is the capital of France?", max_tokens=400)
    assert reply.cost.amount == server.bill.total == sum(attempt.cost.amount for attempt in reply.attempts)
    assert len(reply.attempts) == len(server.requests)
    assert "escalate" not in str(reply.path)


async def test_a_path_with_a_retry_reports_it() -> None:
    from tests.support.bill_server import Behaviour, Failure, Received

    answers = oracle(QUESTION, DISAGREEING, THOUGHT)
    failed: list[int] = []

    def script(request: Received) -> Behaviour:
        if request.mode_ran == "thinking" and not failed:
            failed.append(request.number)
            return Failure(503, "busy", retry_after="0")
        return answers(request)

    async with BillServer(script) as server, AsyncClient(**settings(server)) as client:
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=400)
    assert failed
    assert len(reply.attempts) == len(server.requests)
    assert [attempt.http_status for attempt in reply.attempts].count(503) == 1
    assert reply.cost.amount == server.bill.total
