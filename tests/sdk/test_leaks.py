"""After storms of cancellations nothing is left: no reservation, no task, no socket, no place."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift._net.transport import OriginTransport
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import booked, owed, settings

ANSWER = Answer(" the" * 12, reasoning=" the" * 6, delay=0.01, token_delay=0.001)


async def storm(client: AsyncClient, calls: int, width: int, seed: int) -> int:
    """Cancel `calls` calls, half of them streams, each after a moment of its own; returns how many came through."""
    chance = random.Random(seed)
    finished = 0
    began = time.monotonic()
    await asyncio.gather(*[client.chat("Hi", max_tokens=40) for _ in range(width)])
    usual = time.monotonic() - began

    async def one(streamed: bool, mode: str, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                if not streamed:
                    await client.chat("Hi", mode=mode, max_tokens=40)  # type: ignore[arg-type]
                    return True
                async with client.stream("Hi", mode=mode, max_tokens=40) as stream:  # type: ignore[arg-type]
                    async for _ in stream:
                        pass
                return True
        except TimeoutError:
            return False

    for begin in range(0, calls, width):
        results = await asyncio.gather(
            *[
                one(chance.random() < 0.5, chance.choice(["standard", "thinking"]), chance.uniform(0.0, 1.6 * usual))
                for _ in range(begin, min(calls, begin + width))
            ]
        )
        finished += sum(results)
        if sum(results) in (0, len(results)):
            usual *= 0.5 if sum(results) else 2  # how busy the machine is has changed
    return finished


async def weather(calls: int, width: int, url: str, *, places: int | None = None) -> None:
    ledger = Ledger.open(url, budgets=[Budget("1000", per="total")])
    async with BillServer(ANSWER) as server:
        client = AsyncClient(**settings(server, ledger=ledger, max_concurrency=places))
        async with client:
            await client.chat("Hi", max_tokens=40)
            tasks = len(asyncio.all_tasks())
            finished = await storm(client, calls, width, seed=calls)
            assert 0 < finished < calls, "the storm was to hit at every moment"
            for _ in range(5):
                assert (await client.chat("Hi", max_tokens=40)).text == " the" * 12
            await server.wait_quiet()
            while len(asyncio.all_tasks()) > tasks:
                await asyncio.sleep(0.01)
            core = client._session.target
            assert core is not None
            transport = core.sender._transport
            assert isinstance(transport, OriginTransport)
            assert transport.places == 1000
            assert not client._session.in_flight
            [state] = client.endpoints
            assert (state.circuit, state.failures, state.limit) == ("closed", 0, places)
            assert (state.in_flight, state.waiting) == (0, 0)
        await server.wait_quiet(connections=0)
        attempts = ledger.attempts()
        assert {attempt.status for attempt in attempts} <= {"settled", "released", "unknown"}
        assert booked(ledger) >= owed(server) > 0
        [status] = ledger.budget_status()
        assert not status.reserved
        assert status.spent.amount == booked(ledger)
    ledger.close()


async def test_a_storm_of_cancellations_leaves_nothing_behind() -> None:
    await weather(300, 60, "memory:")


async def test_a_storm_over_few_places_leaves_each_of_them_free() -> None:
    await weather(150, 50, "memory:", places=7)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_storm_of_5000_cancellations_leaves_nothing_behind(tmp_path: Path) -> None:
    await weather(5000, 100, f"sqlite:///{tmp_path / 'spend.db'}", places=80)


async def test_a_burst_larger_than_the_limit_leaves_every_place_free() -> None:
    admission = threading.Event()
    async with BillServer([Answer("Paris."), *[Answer("Paris.", admission=admission)] * 200]) as server:
        transport = OriginTransport(server.url, limit=20)
        async with AsyncClient(**settings(server, transport=transport)) as client:
            await client.chat("Hi", max_tokens=5)
            tasks = [asyncio.create_task(client.chat("Hi", max_tokens=5)) for _ in range(200)]
            await server.until(lambda seen: seen.in_flight == 20)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            admission.set()
            assert transport.places == 20
            assert (await client.chat("Hi", max_tokens=5)).text == "Paris."
