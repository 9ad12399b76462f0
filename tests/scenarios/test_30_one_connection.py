"""30. Ten streams in sequence use one connection, and the caller never waits for it to drain."""

from __future__ import annotations

from deepthrift import AsyncClient, Client
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings, through_async, through_sync


async def test_ten_streams_in_sequence_use_one_connection() -> None:
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server)) as client:
        for _ in range(10):
            reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
            assert reply.text == "Paris."
        assert server.connections == 1


async def test_a_body_that_ends_late_is_drained_behind_the_caller() -> None:
    async with BillServer(Answer("Paris.", linger=0.1)) as server, AsyncClient(**settings(server)) as client:
        for _ in range(10):
            reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
            assert reply.text == "Paris."
            assert server.in_flight == 1, "the caller waited for the end of the body"
            await server.wait_quiet()
        assert server.connections == 1


async def test_a_body_that_never_ends_does_not_hold_the_caller() -> None:
    async with BillServer(Answer("Paris.", linger=60)) as server:
        async with AsyncClient(**settings(server)) as client:
            for _ in range(3):
                reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
                assert reply.text == "Paris."
                assert reply.cost.certainty == "exact"
        await server.wait_quiet(connections=0)


def test_ten_synchronous_streams_use_one_connection() -> None:
    with BillServer(Answer("Paris.")) as server, Client(**settings(server)) as client:
        for _ in range(10):
            assert through_sync(client, "Capital of France?", streamed=True, max_tokens=50).text == "Paris."
        assert server.connections == 1


async def test_plain_calls_and_streams_share_the_connection() -> None:
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server)) as client:
        for number in range(10):
            reply = await through_async(client, "Capital of France?", streamed=number % 2 == 0, max_tokens=50)
            assert reply.text == "Paris."
        assert server.connections == 1
