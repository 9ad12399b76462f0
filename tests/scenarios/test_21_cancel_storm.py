"""21. A hundred cancelled calls in a row are no failures of the provider, and the client still serves."""

from __future__ import annotations

import asyncio

from deepthrift import AsyncClient, CircuitBreaker
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Received
from tests.support.doors import booked, settings, through_async


async def test_the_client_serves_on_after_a_hundred_cancels_in_a_row() -> None:
    def script(request: Received) -> Answer:
        return Answer("Paris.") if request.number >= 100 else Answer("Paris.", delay=60)

    ledger = Ledger.open("memory:")
    async with (
        BillServer(script) as server,
        AsyncClient(**settings(server, ledger=ledger, circuit_breaker=CircuitBreaker(failures=1))) as client,
    ):
        for number in range(100):
            task = asyncio.create_task(client.chat("Capital of France?", max_tokens=50))
            await server.until(lambda s, n=number: len(s.requests) == n + 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
        replies = await asyncio.gather(*[client.chat("Capital of France?", max_tokens=50) for _ in range(20)])
        assert [reply.text for reply in replies] == ["Paris."] * 20
        assert (client.endpoints[0].circuit, client.endpoints[0].failures) == ("closed", 0)
        await server.wait_quiet()
    assert sum(reply.cost.amount for reply in replies) == server.bill.total
    assert booked(ledger) >= server.bill.total
    assert all(request.disconnected for request in server.requests[:100])
    ledger.close()


async def test_the_client_serves_on_after_a_burst_of_cancelled_streams() -> None:
    async with BillServer(Answer("la " * 50, token_delay=0.02)) as server, AsyncClient(**settings(server)) as client:
        calls = [through_async(client, "Sing.", streamed=True, max_tokens=100) for _ in range(100)]
        tasks = [asyncio.create_task(call) for call in calls]
        await server.until(lambda s: len(s.requests) >= 50)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_quiet()
        server.script = Answer("Paris.")
        reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
        assert reply.text == "Paris."
