"""No way into the client, the router or the reports uses a ledger's store in an event loop's thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import BudgetExceeded, ServerError
from deepthrift_pricing import Budget, Ledger, Price, PriceBook
from deepthrift_pricing.alerts import AlertMonitor, CallbackSink
from deepthrift_router import ModeRouter
from deepthrift_router.compat import AsyncOpenAI
from tests.sdk.batch.files import row, write_rows
from tests.sdk.batch.native_server import BatchService
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.databases import STORES, store_url
from tests.support.doors import prices, settings
from tests.support.off_loop import Watched, watching

BUDGETS = [
    Budget("5", per="day"),
    Budget("1", per="answer"),
    Budget("0.5", per="call", policy="clamp"),
    Budget("0", per="day", tags={"team": "ads"}),
]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def watched() -> Iterator[Watched]:
    with watching() as watched:
        yield watched
    assert watched.uses > 10, "the store was used, or nothing was watched"
    assert not watched.on_loops, f"used in an event loop {len(watched.on_loops)} times, first:\n{watched.on_loops[0]}"


@pytest.fixture
async def server() -> AsyncIterator[BillServer]:
    async with BillServer(Answer("Paris.", reasoning="It is large.")) as running:
        yield running


async def test_calls_and_streams(url: str, watched: Watched, server: BillServer) -> None:
    async with Ledger.open(url, budgets=BUDGETS) as ledger, AsyncClient(**settings(server, ledger=ledger)) as client:
        await asyncio.gather(*(client.chat("Hi", max_tokens=50) for _ in range(8)))
        async with client.stream("Hi", max_tokens=50) as stream:
            async for _ in stream:
                pass
        async with client.stream("Hi", max_tokens=50) as stream:
            await anext(aiter(stream))
        call = asyncio.create_task(client.chat("Hi", max_tokens=50))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        with pytest.raises(BudgetExceeded):
            await client.chat("Hi", max_tokens=50, tags={"team": "ads"})
        assert client.estimate("Hi", max_tokens=50).worst
        assert ledger.attempts()


async def test_failures(url: str, watched: Watched) -> None:
    async with (
        BillServer(Failure(500, "no")) as server,
        Ledger.open(url, budgets=BUDGETS) as ledger,
        AsyncClient(**settings(server, ledger=ledger, max_retries=1)) as client,
    ):
        with pytest.raises(ServerError):
            await client.chat("Hi", max_tokens=50)
        with pytest.raises(ServerError):
            await client.stream("Hi", max_tokens=50).batch()


async def test_a_client_with_a_ledger_of_its_own(watched: Watched, server: BillServer) -> None:
    async with AsyncClient(**settings(server)) as client:
        for _ in range(3):
            await client.chat("Hi", max_tokens=50)


def test_the_client_without_await(url: str, watched: Watched, server_in_thread: BillServer) -> None:
    with Ledger.open(url, budgets=BUDGETS) as ledger, Client(**settings(server_in_thread, ledger=ledger)) as client:
        client.chat("Hi", max_tokens=50)
        with client.stream("Hi", max_tokens=50) as stream:
            list(stream)


@pytest.fixture
def server_in_thread() -> Iterator[BillServer]:
    with BillServer(Answer("Paris.")) as running:
        yield running


async def test_embeddings(url: str, watched: Watched) -> None:
    answer = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 3}}
    async with (
        BillServer(routes={"/embeddings": lambda _: answer}) as server,
        Ledger.open(url, budgets=BUDGETS) as ledger,
        AsyncClient(**settings(server, host="openai", ledger=ledger)) as client,
    ):
        for _ in range(3):
            await client.embed("a")


async def test_tools_and_batches(url: str, watched: Watched, server: BillServer, tmp_path: Path) -> None:
    async def lookup(city: str) -> str:
        """The mayor of a city."""
        return city

    async with Ledger.open(url, budgets=BUDGETS) as ledger, AsyncClient(**settings(server, ledger=ledger)) as client:
        await client.run_tools("Who?", tools=[lookup], max_tokens=50, max_spend="1")
        assert len(await client.batch(["Hi", "Hello"])) == 2


async def test_a_batch_that_the_host_runs(url: str, watched: Watched, tmp_path: Path) -> None:
    source, out = write_rows(tmp_path / "in.jsonl", [row("a"), row("b"), row("c")]), tmp_path / "out.jsonl"
    batch = Price.model_validate(
        {
            "id": "half",
            "host": "*",
            "models": ("*",),
            "tier": "batch",
            "source": "test",
            "checked": "2026-11-01",
            "cache_hit": "0.035",
            "cache_miss": "0.28",
            "completion": "0.84",
        }
    )
    with BatchService() as service:
        async with Ledger.open(url, budgets=BUDGETS) as ledger:
            changes = {"host": "openai", "prices": prices() + PriceBook([batch]), "ledger": ledger}
            async with AsyncClient(**settings(service.url, **changes)) as client:
                await client.batch_submit(source, out)
                assert (await client.batch_fetch(out, wait=True, poll=0.01)).answered == 3


@pytest.mark.parametrize("policy", ["auto", "cascade", "thinking"])
async def test_routed_answers(url: str, watched: Watched, server: BillServer, policy: Any) -> None:
    async with Ledger.open(url, budgets=BUDGETS) as ledger, AsyncClient(**settings(server, ledger=ledger)) as client:
        router = ModeRouter(client, policy=policy)
        for _ in range(2):
            await router.chat("What is the capital of France?", max_tokens=50)
        async with router.stream("What is the capital of France?", max_tokens=50) as stream:
            async for _ in stream:
                pass


async def test_the_facade(url: str, watched: Watched, server: BillServer) -> None:
    async with (
        Ledger.open(url, budgets=BUDGETS) as ledger,
        AsyncOpenAI(base_url=server.url, api_key="key", host="vllm", prices=prices(), ledger=ledger) as client,
    ):
        for _ in range(2):
            await client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "Hi"}], max_tokens=50
            )


async def test_alerts_and_the_dashboard(url: str, watched: Watched, server: BillServer) -> None:
    pytest.importorskip("matplotlib")
    from deepthrift_pricing.reports.dashboard import dashboard

    async with Ledger.open(url, budgets=[Budget("0.001", per="day")]) as ledger:
        heard: list[object] = []
        monitor = AlertMonitor(ledger, sinks=[CallbackSink(heard.append)], every=0.01).start()
        try:
            async with AsyncClient(**settings(server, ledger=ledger)) as client:
                while not heard:
                    await client.chat("Hi", max_tokens=20)
            transport = httpx.ASGITransport(dashboard(ledger))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser:
                assert (await browser.get("/")).status_code == 200
        finally:
            await asyncio.to_thread(monitor.close)
