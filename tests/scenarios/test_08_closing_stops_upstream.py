"""8. Closing the iterator stops the upstream generation at once."""

from __future__ import annotations

import asyncio

import pytest

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings

LONG = Answer(text=[" the"] * 5000, token_delay=0.005)
"""Takes 25 seconds when nobody stops it."""


class UserError(Exception):
    """Raised by the caller's own code."""


def _check(server: BillServer) -> None:
    [request] = server.requests
    assert request.disconnected
    assert request.generated < 1000
    assert request.line is not None
    assert not request.line.complete


@pytest.mark.parametrize("way", ["break", "exception", "aclose", "cancel"])
async def test_leaving_a_stream_stops_the_upstream(way: str) -> None:
    async with BillServer(LONG) as server, AsyncClient(**settings(server)) as client:
        got = asyncio.Event()

        async def read() -> None:
            async with client.stream("Go on.", max_tokens=8000) as stream:
                async for event in stream:
                    if not isinstance(event, TextDelta):
                        continue
                    got.set()
                    if way == "break":
                        break
                    if way == "aclose":
                        await stream.aclose()
                        break
                    if way == "exception":
                        raise UserError

        if way == "cancel":
            task = asyncio.create_task(read())
            await got.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
        elif way == "exception":
            with pytest.raises(UserError):
                await read()
        else:
            await read()
        await server.wait_quiet()
        _check(server)


@pytest.mark.parametrize("way", ["break", "exception", "close"])
def test_leaving_a_synchronous_stream_stops_the_upstream(way: str) -> None:
    with BillServer(LONG) as server, Client(**settings(server)) as client:

        def read() -> None:
            with client.stream("Go on.", max_tokens=8000) as stream:
                for event in stream:
                    if isinstance(event, TextDelta):
                        if way == "exception":
                            raise UserError
                        if way == "close":
                            stream.close()
                        break

        if way == "exception":
            with pytest.raises(UserError):
                read()
        else:
            read()
        server.quiet()
        _check(server)


async def test_cancelling_a_plain_call_stops_the_upstream() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(LONG) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        task = asyncio.create_task(client.chat("Go on.", max_tokens=8000))
        await server.until(lambda s: bool(s.requests) and s.requests[0].generated > 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await server.wait_quiet()
        _check(server)
    [attempt] = ledger.attempts()
    assert attempt.status == "unknown"
    assert attempt.cost.amount >= server.bill.total > 0
    ledger.close()


async def test_closing_the_client_ends_its_streams() -> None:
    async with BillServer(LONG) as server:
        client = AsyncClient(**settings(server))
        stream = client.stream("Go on.", max_tokens=8000)
        async with stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        await client.aclose()
        await server.wait_quiet(connections=0)
        _check(server)
