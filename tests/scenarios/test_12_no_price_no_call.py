"""12. A model without a price is refused before anything is sent; it is never free."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import PriceNotFound
from deepthrift_pricing import Ledger, PriceBook
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, Door, ask, every_door, settings

ONE_MODEL = """
[[price]]
id = "mine"
host = "vllm"
models = ["another-model"]
cache_miss = "0.56"
cache_hit = "0.07"
completion = "1.68"
checked = 2026-11-01
source = "invoice"
"""


@every_door
@pytest.mark.parametrize("book", ["builtin", "user's file"])
async def test_a_model_without_a_price_is_refused(door: Door, book: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ONE_MODEL)
    prices = PriceBook.builtin() if book == "builtin" else PriceBook.load(path)
    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        with pytest.raises(PriceNotFound) as refused:
            await ask(door, server, max_tokens=500, client={"ledger": ledger, "prices": prices})
        assert not server.requests
        assert not server.connections
    assert "deepseek-ai/DeepSeek-V3.1" in str(refused.value)
    assert "vllm" in str(refused.value)
    assert not ledger.attempts()
    ledger.close()


@every_door
async def test_a_mode_without_a_price_is_refused_and_the_other_one_works(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ONE_MODEL.replace('models = ["another-model"]', 'mode = "standard"'))
    client = {"prices": PriceBook.load(path)}
    async with BillServer() as server:
        with pytest.raises(PriceNotFound):
            await ask(door, server, mode="thinking", max_tokens=500, client=client)
        assert not server.requests
        reply = await ask(door, server, mode="standard", max_tokens=500, client=client)
    assert reply.cost.amount == server.bill.total > 0


async def test_an_estimate_without_a_price_is_an_error_too() -> None:
    async with BillServer() as server, AsyncClient(**settings(server, prices=PriceBook.builtin())) as client:
        with pytest.raises(PriceNotFound):
            client.estimate(PROMPT, mode="standard", max_tokens=500)
        assert not server.connections


def test_an_estimate_of_a_synchronous_client_without_a_price_is_an_error_too() -> None:
    with (
        BillServer() as server,
        Client(**settings(server, prices=PriceBook.builtin())) as client,
        pytest.raises(PriceNotFound),
    ):
        client.estimate(PROMPT, mode="standard", max_tokens=500)
