"""Thinking in two passes, for models that were not trained to think: notes first, then the answer in a fresh turn."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift import AsyncClient, Finished, HostProfile, ReasoningDelta, StreamStarted, TextDelta
from deepthrift.errors import RateLimited, StreamInterrupted
from deepthrift_pricing import Ledger, PriceBook
from tests.support.bill_server import Answer, BillServer, Failure, Rates, Received
from tests.support.doors import Door, ask, booked, every_door, every_stream, settings

NOTES = "Paris is in France, and {question} is in braces."
QUESTION = "What is the capital of {notes}?"
STANDARD, THINKING = Rates.of("0.028", "0.28", "0.42"), Rates.of("0.028", "0.55", "1.68")
PROFILE = HostProfile.named("local")


def two(request: Received) -> Answer:
    asked = request.question.startswith("Think step by step")
    answer = Answer(NOTES if asked else "It is Paris.", prompt_tokens=50, cache_hit=10)
    return answer.but(ran="thinking", reasoning="")  # what the server bills is a matter of its prices, not of the mode


def server_of(script: Any = two) -> BillServer:
    return BillServer(script, rates=STANDARD, thinking_rates=THINKING)


CLIENT: dict[str, Any] = {"host": "local", "prices": PriceBook.named("brief")}


@every_door
async def test_the_first_pass_is_the_reasoning_and_the_second_the_answer(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with server_of() as server:
        reply = await ask(door, server, QUESTION, mode="thinking", client={**CLIENT, "ledger": ledger})
        first, second = server.requests
    assert (reply.text, reply.reasoning, reply.mode) == ("It is Paris.", NOTES, "thinking")
    assert first.question == f"Think step by step about this question: {QUESTION}"
    assert second.question == f"Notes: {NOTES}\n\nQuestion: {QUESTION}"
    assert first.messages[0] == {"role": "system", "content": PROFILE.default_system}
    assert PROFILE.two_pass is not None
    assert first.max_tokens == PROFILE.two_pass.budget
    assert [line.completion_tokens for line in server.bill.lines] == [9, 3]
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (12, 9)
    assert reply.usage.prompt_tokens == 100
    assert reply.cost.amount == booked(ledger) == server.bill.total
    attempts = ledger.attempts()
    assert reply.attempts == tuple(attempts)
    assert {attempt.call_id for attempt in attempts} == {reply.call_id}
    assert {attempt.mode for attempt in attempts} == {"thinking"}
    assert not reply.warnings
    ledger.close()


@every_door
async def test_max_tokens_holds_for_both_passes_together(door: Door) -> None:
    async with server_of() as server:
        await ask(door, server, QUESTION, mode="thinking", max_tokens=20, client=CLIENT)
        first, second = server.requests
    assert first.max_tokens == 10
    assert second.max_tokens == 20 - server.bill.lines[0].completion_tokens


async def test_it_streams_as_reasoning_and_then_as_text() -> None:
    async with (
        server_of() as server,
        AsyncClient(**settings(server, **CLIENT)) as client,
        client.stream(QUESTION, mode="thinking") as stream,
    ):
        events = [event async for event in stream]
    kinds = [type(event) for event in events]
    assert kinds.count(StreamStarted) == 2
    assert kinds.count(Finished) == 1
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == NOTES
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is Paris."
    assert kinds.index(ReasoningDelta) < kinds.index(TextDelta)
    assert stream.reply.cost.amount == server.bill.total


async def test_earlier_turns_stay_and_the_users_own_are_not_changed() -> None:
    history: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": QUESTION},
    ]
    before = [dict(message) for message in history]
    async with server_of() as server:
        await ask("async", server, history, mode="thinking", client=CLIENT)
    assert history == before
    for request in server.requests:
        assert list(request.messages[:3]) == before[:3]
        assert len(request.messages) == 4


@every_door
async def test_standard_mode_takes_one_pass(door: Door) -> None:
    async with server_of(lambda _: Answer("It is Paris.", ran="standard")) as server:
        reply = await ask(door, server, QUESTION, client=CLIENT)
        assert [request.question for request in server.requests] == [QUESTION]
    assert (reply.reasoning, reply.mode) == (None, "standard")
    assert reply.cost.amount == server.bill.total


@every_door
async def test_a_first_pass_that_says_nothing_is_told(door: Door) -> None:
    def silent(request: Received) -> Answer:
        return two(request).but(text="" if request.number == 0 else "It is Paris.")

    async with server_of(silent) as server:
        reply = await ask(door, server, QUESTION, mode="thinking", client=CLIENT)
    assert (reply.text, reply.reasoning, reply.mode) == ("It is Paris.", None, "standard")
    assert any("said nothing" in warning for warning in reply.warnings)


@every_door
async def test_each_pass_is_retried_by_itself(door: Door) -> None:
    busy = Failure(429, "busy", retry_after="0")

    def script(request: Received) -> Any:
        return busy if request.number in (0, 2) else two(request)

    async with server_of(script) as server:
        reply = await ask(door, server, QUESTION, mode="thinking", client=CLIENT)
    assert [attempt.http_status for attempt in reply.attempts] == [429, 200, 429, 200]
    assert reply.cost.amount == server.bill.total


@every_door
async def test_a_second_pass_that_fails_still_books_the_first(door: Door) -> None:
    ledger = Ledger.open("memory:")

    def script(request: Received) -> Any:
        return two(request) if request.number == 0 else Failure(429, "busy", retry_after="0")

    async with server_of(script) as server:
        with pytest.raises(RateLimited) as failed:
            await ask(door, server, QUESTION, mode="thinking", client={**CLIENT, "ledger": ledger, "max_retries": 0})
    assert failed.value.spend is not None
    assert failed.value.spend.amount == booked(ledger) == server.bill.total > 0
    assert len(failed.value.attempt_ids) == 2
    ledger.close()


@every_stream
async def test_a_stream_cut_in_either_pass_keeps_what_arrived(door: Door) -> None:
    for cut in (0, 1):

        def script(request: Received, cut: int = cut) -> Answer:
            return two(request).but(cut_after=2) if request.number == cut else two(request)

        async with server_of(script) as server:
            with pytest.raises(StreamInterrupted) as broken:
                await ask(door, server, QUESTION, mode="thinking", client=CLIENT)
        partial = broken.value.partial
        assert partial is not None
        assert (partial.text, partial.reasoning) == (("", "Paris is") if cut == 0 else ("It is", NOTES))


async def test_an_estimate_covers_both_passes() -> None:
    async with server_of() as server, AsyncClient(**settings(server, **CLIENT)) as client:
        for options in ({}, {"max_tokens": 60}):
            estimate = client.estimate(QUESTION, mode="thinking", **options)  # type: ignore[arg-type]
            reply = await client.chat(QUESTION, mode="thinking", **options)  # type: ignore[arg-type]
            reserved = sum(attempt.reserved.amount for attempt in reply.attempts)
            assert reply.cost.amount <= reserved <= estimate.worst.amount
            assert estimate.least < estimate.worst


async def test_leaving_the_stream_in_the_first_pass_asks_no_second() -> None:
    async with (
        server_of(lambda request: two(request).but(token_delay=0.01)) as server,
        AsyncClient(**settings(server, **CLIENT)) as client,
    ):
        async for event in client.stream(QUESTION, mode="thinking"):
            if isinstance(event, ReasoningDelta):
                break
        await server.wait_quiet()
        assert len(server.requests) == 1
        assert client.ledger.attempts()[0].status == "settled"
