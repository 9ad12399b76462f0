"""A batch from a list, by a client or by a router in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Reply
from deepthrift.batch import BatchResult, BatchRow
from deepthrift.errors import BudgetExceeded, ConfigurationError, InvalidRequestError, PriceNotFound
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_router import ModeRouter, RoutedReply
from tests.sdk.batch.files import last_lines, row, write_rows
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import booked, settings


def echo(request: Received) -> Answer:
    return Answer(f"Said {request.question}.", delay=0.02 if "slow" in request.question else 0)


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(echo) as bill:
        yield bill


async def test_results_come_in_the_order_of_the_rows(server: BillServer) -> None:
    told: list[BatchResult] = []
    rows = ["slow one", BatchRow(custom_id="mine", messages="two", mode="thinking"), row("file", "three")]
    async with AsyncClient(**settings(server)) as client:
        results = await client.batch(rows, concurrency=3, on_result=told.append)
    assert [result.row.custom_id for result in results] == ["1", "mine", "file"]
    assert [result.outcome for result in results] == ["answered"] * 3
    assert [result.reply.text for result in results if result.reply] == ["Said slow one.", "Said two.", "Said three."]
    assert [result.reply.mode for result in results if result.reply] == ["standard", "thinking", "standard"]
    assert sorted(result.row.custom_id for result in told) == ["1", "file", "mine"]
    assert sum(result.cost.amount for result in results if result.cost) == server.bill.total


async def test_no_more_are_under_way_than_allowed(server: BillServer) -> None:
    async with AsyncClient(**settings(server)) as client:
        await client.batch([f"slow {number}" for number in range(12)], concurrency=3)
        assert server.peak_in_flight <= 3
        with pytest.raises(ConfigurationError, match="concurrency"):
            await client.batch(["one"], concurrency=0)


async def test_one_bad_row_sends_none(server: BillServer) -> None:
    async with AsyncClient(**settings(server)) as client:
        with pytest.raises(InvalidRequestError, match=r"row 2: body\.n is 1"):
            await client.batch(["fine", row("b", body={"n": 3})])
        with pytest.raises(InvalidRequestError, match="row 2: the custom_id '1'"):
            await client.batch(["fine", row("1")])
        assert await client.batch([]) == []
    assert not server.requests


async def test_errors_stay_with_their_rows(server: BillServer) -> None:
    def script(request: Received) -> Answer | Failure:
        return Failure(422, "no") if "bad" in request.question else Answer()

    server.script = script
    async with AsyncClient(**settings(server)) as client:
        results = await client.batch(["good", "bad", "good"], concurrency=1)
    assert [result.outcome for result in results] == ["answered", "failed", "answered"]
    assert type(results[1].error).__name__ == "UnprocessableRequest"


async def test_a_budget_leaves_the_rest_unsent(server: BillServer) -> None:
    with Ledger.open(budgets=[Budget("0.0002", per="total")]) as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            results = await client.batch([row(str(number)) for number in range(40)], concurrency=2)
        outcomes = [result.outcome for result in results]
        sent = outcomes.count("answered")
        assert outcomes == ["answered"] * sent + ["unsent"] * (40 - sent)
        assert 0 < sent == len(server.requests)
        assert isinstance(results[-1].error, BudgetExceeded)
        assert results[-1].cost is None
        assert booked(ledger) == server.bill.total


async def test_cancelling_books_what_was_sent(server: BillServer) -> None:
    server.script = Answer(delay=30)
    with Ledger.open() as ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            batch = asyncio.create_task(client.batch(["one", "two", "three"], concurrency=2))
            await server.until(lambda each: each.in_flight == 2)
            batch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await batch
        await server.wait_quiet()
        assert len(server.requests) == len(ledger.attempts()) == 2
        assert {attempt.status for attempt in ledger.attempts()} == {"unknown"}


async def test_a_router_answers_rows_without_a_mode(server: BillServer, tmp_path: Any) -> None:
    rows = [row("routed", "How many primes?"), row("own", "two", mode="thinking")]
    async with AsyncClient(**settings(server)) as client:
        router = ModeRouter(client, policy="cascade")
        results = await client.batch(rows, through=router)
        assert isinstance(results[0].reply, RoutedReply)
        assert not isinstance(results[1].reply, RoutedReply)
        out = tmp_path / "out.jsonl"
        await client.batch_file(write_rows(tmp_path / "in.jsonl", rows), out, through=router)
    routed, own = (last_lines(out)[name]["deepthrift"] for name in ("routed", "own"))
    assert routed["decision"]["plan"]
    assert routed["path"][:2] == ["standard", "sample"]
    assert routed["attempts"] == len(routed["attempt_ids"]) >= 2
    assert "decision" not in own


def test_a_router_on_the_synchronous_client(server: BillServer) -> None:
    with Client(**settings(server)) as client:
        results = client.batch(["one", "two"], through=ModeRouter(client))
        assert all(isinstance(result.reply, RoutedReply) for result in results)
        assert [result.row.messages for result in results] == ["one", "two"]


async def test_anything_with_chat_will_do(server: BillServer) -> None:
    class Twice:
        def __init__(self, client: AsyncClient) -> None:
            self.client = client

        async def chat(self, messages: Any, *, max_tokens: int | None = None, **options: Any) -> Reply:
            await self.client.chat(messages, max_tokens=max_tokens, **options)
            return await self.client.chat(messages, max_tokens=max_tokens, **options)

    async with AsyncClient(**settings(server)) as client:
        assert len(await client.batch(["one", "two"], through=Twice(client))) == 2
    assert len(server.requests) == 4


async def test_a_bug_of_a_router_is_not_taken_for_an_answer(server: BillServer) -> None:
    class Broken:
        async def chat(self, messages: Any, *, max_tokens: int | None = None, **options: Any) -> Reply:
            raise ZeroDivisionError("a bug")

    async with AsyncClient(**settings(server)) as client:
        with pytest.raises(ZeroDivisionError):
            await client.batch(["one", "two"], through=Broken())


async def test_the_estimate_tells_each_mode(server: BillServer) -> None:
    rows = [row("a", body={"max_tokens": 100}), row("b", mode="thinking"), row("c")]
    async with AsyncClient(**settings(server)) as client:
        estimate = await client.batch_estimate(rows, expected_length=lambda messages, mode: 10)
        standard, thinking = estimate.modes
        assert (standard.mode, standard.rows, thinking.mode, thinking.rows) == ("standard", 2, "thinking", 1)
        assert standard.exact
        singles = [client.estimate("Capital of France?", max_tokens=most) for most in (100, 64)]
        assert standard.prompt_tokens == sum(each.prompt_tokens for each in singles)
        assert standard.worst == singles[0].worst + singles[1].worst
        assert (standard.max_tokens, standard.likely_completion_tokens) == (164, 20)
        assert estimate.worst == standard.worst + thinking.worst
        assert estimate.likely is not None
        assert estimate.worst is not None
        assert estimate.likely < estimate.worst
        assert (await client.batch_estimate(rows)).likely is None
        routed = await client.batch_estimate(rows, routed=True)
        assert (routed.routed, [mode.rows for mode in routed.modes], routed.worst) == (2, [2, 3], None)
        long = await client.batch_estimate([row("a"), row("b", " the" * 140_000)])
        assert (long.rows, long.too_long_rows, long.too_long[0][0]) == (2, 1, 2)
    assert not server.requests


def test_the_synchronous_estimate_without_a_price(server: BillServer, tmp_path: Any) -> None:
    source = write_rows(tmp_path / "in.jsonl", [row("a")])
    with Client(**settings(server, prices=PriceBook.flat(cache_miss="1", completion="1"))) as client:
        assert client.batch_estimate(source).rows == 1
    with (
        Client(**settings(server, prices=PriceBook.flat(cache_miss="1", completion="1", host="other"))) as client,
        pytest.raises(PriceNotFound),
    ):
        client.batch_estimate(source)
