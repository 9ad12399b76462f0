"""Embeddings: refused where there are none, retried and booked like calls that generate nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import (
    BudgetExceeded,
    InvalidRequestError,
    MalformedResponse,
    UnsupportedFeature,
)
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import settings


def answer(*vectors: list[float], usage: dict[str, int] | None = None) -> dict[str, Any]:
    data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "model": "e", "data": data[::-1], "usage": usage}


async def test_they_come_back_in_order_with_their_price() -> None:
    told = answer([1.0, 2.0], [3.0, 4.0], usage={"prompt_tokens": 7})
    ledger = Ledger.open("memory:")
    async with BillServer(routes={"/embeddings": lambda _: told}) as server:
        async with AsyncClient(**settings(server, host="openai", ledger=ledger)) as client:
            found = await client.embed(["a", "b"])
        with Client(**settings(server, host="openai")) as client:
            again = await asyncio.to_thread(client.embed, ["a", "b"])
    assert found.vectors == again.vectors == ((1.0, 2.0), (3.0, 4.0))
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.model) == (7, 0, "e")
    [row] = ledger.attempts()
    assert (row.status, row.cost.amount) == ("settled", found.cost.amount)
    assert str(found.cost.amount) == "0.00000392"
    ledger.close()


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 10**25}, {"prompt_tokens": -1, "total_tokens": 10**20}])
async def test_where_the_host_tells_no_tokens_that_can_be_their_bound_is_booked(usage: Any) -> None:
    told = answer([1.0, 2.0], usage=usage)
    with Ledger.open() as ledger:
        async with (
            BillServer(routes={"/embeddings": lambda _: told}) as server,
            AsyncClient(**settings(server, host="openai", ledger=ledger)) as client,
        ):
            found = await client.embed(["word"])
        [row] = ledger.attempts()
    assert (row.status, row.cost.certainty, row.cost.total) == ("settled", "estimated", row.reserved)
    assert found.usage.prompt_tokens == 4 + 4
    assert found.usage.notes


@pytest.mark.parametrize(
    ("texts", "told"), [([], "nothing to embed"), ("", r"texts\[0\]"), (["a", 3], r"texts\[1\]"), (b"a", "nothing")]
)
async def test_what_is_wrong_is_told_before_anything_is_sent(texts: Any, told: str) -> None:
    async with BillServer() as server, AsyncClient(**settings(server, host="openai")) as client:
        with pytest.raises(InvalidRequestError, match=told):
            await client.embed(texts)
        assert not server.connections


async def test_a_host_without_embeddings_is_told() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        with pytest.raises(UnsupportedFeature, match=r"'vllm' makes no embeddings.*embeddings=True"):
            await client.embed("a")
        assert not server.connections


async def test_a_budget_holds_for_them_too() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0000001", per="day")])
    async with BillServer() as server, AsyncClient(**settings(server, host="openai", ledger=ledger)) as client:
        with pytest.raises(BudgetExceeded):
            await client.embed("a")
        assert not server.connections
    ledger.close()


@pytest.mark.parametrize("wrong", [answer([1.0]), answer([1.0], [1.0, 2.0]), answer([], []), {"data": "?"}])
async def test_an_answer_that_does_not_fit_is_booked_all_the_same(wrong: dict[str, Any]) -> None:
    ledger = Ledger.open("memory:")
    async with (
        BillServer(routes={"/embeddings": lambda _: wrong}) as server,
        AsyncClient(**settings(server, host="openai", ledger=ledger)) as client,
    ):
        with pytest.raises(MalformedResponse) as told:
            await client.embed(["a", "b"])
    [row] = ledger.attempts()
    assert row.status in ("settled", "unknown")
    assert told.value.spend == row.cost.total
    ledger.close()


async def test_a_server_that_was_not_started_for_it_is_asked_once() -> None:
    async with AsyncClient(**settings("http://127.0.0.1:9/v1", host="openai", max_retries=0)) as client:
        with pytest.raises(Exception, match="Nothing was sent"):
            await client.embed("a")
    ledger = Ledger.open("memory:")
    async with BillServer() as server, AsyncClient(**settings(server, host="openai", ledger=ledger)) as client:
        with pytest.raises(Exception, match="404"):
            await client.embed("a")
    assert [row.status for row in ledger.attempts()] == ["released"]
    ledger.close()
