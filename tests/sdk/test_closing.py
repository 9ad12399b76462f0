"""Closing a client: what is under way may finish for a while, is then ended, and is booked in any case."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift.errors import ClientClosed, ConfigurationError, InsufficientBalance
from deepthrift_pricing import Ledger
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import booked, settings, through_async
from tests.support.waiting import PATIENCE, turns

HANGING = Answer("Paris.", hold=60.0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_calls_under_way_finish_within_the_grace(streamed: bool) -> None:
    admission = threading.Event()
    async with BillServer(Answer("Paris.", admission=admission)) as server:
        client = AsyncClient(**settings(server))
        calls = [asyncio.create_task(through_async(client, "Hi", streamed=streamed, max_tokens=5)) for _ in range(3)]
        await server.until(lambda s: len(s.requests) == 3)
        closing = asyncio.create_task(client.aclose(grace=600))
        await turns()
        with pytest.raises(ClientClosed, match="make a new one"):
            await client.chat("Hi", max_tokens=5)
        with pytest.raises(ClientClosed):
            client.stream("Hi", max_tokens=5)
        admission.set()
        assert [reply.text for reply in await asyncio.gather(*calls)] == ["Paris."] * 3
        await closing
        await server.wait_quiet(connections=0)
        assert len(server.requests) == 3


@pytest.mark.parametrize("grace", [0.0, 0.1])
async def test_what_is_not_done_by_then_is_ended_and_booked(grace: float) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(HANGING) as server:
        client = AsyncClient(**settings(server, ledger=ledger, max_concurrency=2))
        calls = [asyncio.create_task(client.chat("Hi", max_tokens=5)) for _ in range(3)]
        await server.until(lambda s: len(s.requests) == 2)
        await client.aclose(grace=grace)
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in ended] == [ClientClosed] * 3
        assert sorted(len(each.attempt_ids) for each in ended if isinstance(each, ClientClosed)) == [0, 1, 1]
        assert not any(call.cancelling() for call in calls)
        await server.wait_quiet(connections=0)
        assert [attempt.status for attempt in ledger.attempts()] == ["unknown"] * 2
        assert booked(ledger) >= server.bill.total
    ledger.close()


@pytest.mark.parametrize("reading", [True, False])
async def test_a_stream_that_is_ended_says_so(reading: bool) -> None:
    """Its end would else look like the end of the answer."""
    ledger = Ledger.open("memory:")
    async with BillServer(Answer(" the" * 9, stall_after=3)) as server:
        client = AsyncClient(**settings(server, ledger=ledger))
        stream = client.stream("Hi", max_tokens=50)
        said = ""

        async def read() -> None:
            nonlocal said
            async for event in stream:
                if isinstance(event, TextDelta):
                    said += event.text
                    if not reading and said == " the" * 3:
                        return

        task = asyncio.create_task(read())
        while said != " the" * 3:
            await asyncio.sleep(0.01)
        if reading:
            await client.aclose()
            with pytest.raises(ClientClosed) as closed:
                await task
            assert closed.value.spend == stream.reply.cost.total
            assert closed.value.attempt_ids == tuple(each.id for each in stream.reply.attempts)
        else:
            await task  # the loop was left, which ends the stream
            await client.aclose()
        assert stream.reply.text == " the" * 3
        assert [attempt.status for attempt in ledger.attempts()] == ["settled"]
        await server.wait_quiet(connections=0)
        assert server.requests[0].disconnected
    ledger.close()


async def test_a_stream_between_two_reads_is_ended_too() -> None:
    async with BillServer(Answer(" the" * 9, stall_after=3)) as server:
        client = AsyncClient(**settings(server))
        stream = client.stream("Hi", max_tokens=50)
        await anext(stream)
        await client.aclose()
        while stream._source.buffer:
            await anext(stream)
        with pytest.raises(ClientClosed):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await server.wait_quiet(connections=0)


async def test_samples_side_by_side_are_ended_too() -> None:
    async with BillServer(HANGING) as server:
        client = AsyncClient(**settings(server, host="sglang"))
        drawing = asyncio.create_task(client.samples("Hi", n=3, max_tokens=5))
        await server.until(lambda s: bool(s.requests))
        await client.aclose()
        with pytest.raises(ClientClosed):
            await drawing
        await server.wait_quiet(connections=0)


async def test_closing_that_is_cancelled_closes_at_once() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(HANGING) as server:
        client = AsyncClient(**settings(server, ledger=ledger))
        call = asyncio.create_task(client.chat("Hi", max_tokens=5))
        await server.until(lambda s: len(s.requests) == 1)
        closing = asyncio.create_task(client.aclose(grace=600))
        await turns()
        closing.cancel()
        results = await asyncio.gather(closing, call, return_exceptions=True)
        assert [type(each) for each in results] == [asyncio.CancelledError, ClientClosed]
        await server.wait_quiet(connections=0)
        assert [attempt.status for attempt in ledger.attempts()] == ["unknown"]
    ledger.close()


async def test_a_caller_who_cancels_while_it_is_closed_is_cancelled() -> None:
    async with BillServer(HANGING) as server:
        client = AsyncClient(**settings(server))
        call = asyncio.create_task(client.chat("Hi", max_tokens=5))
        await server.until(lambda s: len(s.requests) == 1)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        call.cancel()
        await closing
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()


@pytest.mark.parametrize("grace", [0.0, 30.0])
def test_threads_are_told_or_served(grace: float) -> None:
    ledger = Ledger.open("memory:")
    with BillServer(Answer("Paris.", delay=0.3) if grace else HANGING) as server:
        client = Client(**settings(server, ledger=ledger))
        results: list[object] = []

        def call() -> None:
            try:
                results.append(client.chat("Hi", max_tokens=5).text)
            except Exception as error:
                results.append(type(error))

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.wait_for(lambda s: len(s.requests) == 3)
        client.close(grace=grace)
        for thread in threads:
            thread.join()
        assert results == (["Paris."] * 3 if grace else [ClientClosed] * 3)
        with pytest.raises(ClientClosed):
            client.chat("Hi", max_tokens=5)
        server.quiet(connections=0)
        assert len(ledger.attempts()) == 3
    ledger.close()


def test_calls_that_begin_while_it_is_closed_end_in_some_way() -> None:
    """Whatever the moment, no thread is left waiting for a loop that has stopped."""
    with BillServer(Answer("Paris.")) as server:
        for pause in (0.0, 0.0005, 0.002):
            client = Client(**settings(server))
            results: list[object] = []

            def call(client: Client = client, results: list[object] = results) -> None:
                while True:
                    try:
                        client.chat("Hi", max_tokens=5)
                    except ClientClosed as error:
                        results.append(error)
                        return

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(pause)
            client.close()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
            assert len(results) == 4


def test_two_loops_are_told_apart_also_when_closing() -> None:
    with BillServer(Answer("Paris.")) as server:
        client = AsyncClient(**settings(server))

        async def use() -> str:
            return (await client.chat("Hi", max_tokens=5)).text

        first = asyncio.new_event_loop()
        assert first.run_until_complete(use()) == "Paris."
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(use())
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(client.aclose())
        first.run_until_complete(client.aclose())
        first.run_until_complete(turns())
        first.close()


BALANCE = plain(
    b'{"is_available":false,"balance_infos":[{"currency":"CNY","total_balance":"0.42","granted_balance":"0.00",'
    b'"topped_up_balance":"0.42"}]}'
)
EMPTY = plain(b'{"error":{"message":"Insufficient Balance"}}', status="402 Payment Required")


async def test_an_empty_balance_is_named() -> None:
    async with (
        raw_server(lambda number: [EMPTY] if number == 0 else [BALANCE]) as server,
        AsyncClient(server.url, host="deepseek", api_key="key", prices="brief") as client,
    ):
        with pytest.raises(InsufficientBalance, match=r"402: Insufficient Balance.*holds 0\.42 CNY") as refused:
            await client.chat("Hi", max_tokens=5)
        assert refused.value.balance == "0.42 CNY"
        assert server.requests[1].startswith(b"GET /user/balance ")
        with pytest.raises(InsufficientBalance, match=r"nothing was sent.*\(0\.42 CNY\)"):
            await client.chat("Hi", max_tokens=5)
        assert len(server.requests) == 2


async def test_a_balance_that_is_not_told_is_no_second_error() -> None:
    async with BillServer(Failure(402, "Insufficient Balance")) as server:  # knows no such path
        async with AsyncClient(server.url, host="deepseek", api_key="key", prices="brief") as client:
            with pytest.raises(InsufficientBalance) as refused:
                await client.chat("Hi", max_tokens=5)
        assert refused.value.balance is None
