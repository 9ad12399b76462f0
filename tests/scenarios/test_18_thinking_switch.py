"""18. The thinking switch reaches each endpoint in its own wire form, on and off, and the mode that ran is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deepthrift.errors import ModeNotHonoured
from deepthrift_pricing import Ledger, PriceBook
from tests.support.bill_server import Answer, BillServer, Mode, Rates
from tests.support.dialect import Dialect
from tests.support.doors import REFERENCE, Door, ask, booked, every_door, prices

HOSTS: Mapping[str, tuple[Dialect, Mode]] = {
    # vLLM's template is off unless told otherwise; llama.cpp's is on.
    "vllm": ("template-thinking", "standard"),
    "llama.cpp": ("template-both", "thinking"),
}
WIRE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("vllm", "thinking"): {"chat_template_kwargs": {"thinking": True}},
    ("vllm", "standard"): {"chat_template_kwargs": {"thinking": False}},
    ("llama.cpp", "thinking"): {"chat_template_kwargs": {"thinking": True, "enable_thinking": True}},
    ("llama.cpp", "standard"): {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}},
}


@every_door
@pytest.mark.parametrize(("host", "mode"), WIRE)
async def test_the_switch_is_sent_in_the_hosts_own_form(door: Door, host: str, mode: Mode) -> None:
    dialect, default = HOSTS[host]
    async with BillServer(REFERENCE, dialect=dialect, default_mode=default) as server:
        reply = await ask(door, server, mode=mode, max_tokens=500, client={"host": host})
    [request] = server.requests
    for name, value in WIRE[host, mode].items():
        assert request.body[name] == value
    assert request.mode_asked == request.mode_ran == mode
    assert (reply.mode, reply.requested_mode) == (mode, mode)
    assert (reply.reasoning is not None) == (mode == "thinking")
    assert not reply.warnings


@every_door
@pytest.mark.parametrize(("mode", "model"), [("standard", "deepseek-chat"), ("thinking", "deepseek-reasoner")])
async def test_deepseek_switches_by_model_name_or_by_type(door: Door, mode: Mode, model: str) -> None:
    book = prices()
    async with BillServer(REFERENCE) as server:
        reply = await ask(
            door, server, mode=mode, max_tokens=500, client={"host": "deepseek", "model": None, "prices": book}
        )
    [request] = server.requests
    assert request.mode_asked == mode, request.body
    assert reply.mode == mode
    assert reply.cost.amount == server.bill.total
    assert request.body["model"] == model or "thinking" in request.body


@every_door
@pytest.mark.parametrize("asked", ["standard", "thinking"])
async def test_a_switch_that_is_ignored_is_noticed(door: Door, asked: Mode) -> None:
    other: Mode = "thinking" if asked == "standard" else "standard"
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(ran=other)) as server:
        reply = await ask(door, server, mode=asked, max_tokens=500, client={"ledger": ledger})
    assert (reply.requested_mode, reply.mode) == (asked, other)
    assert reply.warnings
    assert reply.cost.amount == booked(ledger) == server.bill.total
    ledger.close()


@every_door
@pytest.mark.parametrize("asked", ["standard", "thinking"])
async def test_an_ignored_switch_can_be_made_an_error_that_keeps_the_answer(door: Door, asked: Mode) -> None:
    other: Mode = "thinking" if asked == "standard" else "standard"
    ledger = Ledger.open("memory:")
    options = {"ledger": ledger, "on_mode_mismatch": "raise"}
    async with BillServer(REFERENCE.but(ran=other)) as server:
        with pytest.raises(ModeNotHonoured) as noticed:
            await ask(door, server, mode=asked, max_tokens=500, client=options)
        assert len(server.requests) == 1
    assert noticed.value.partial is not None
    assert noticed.value.partial.text.split() == ["the"] * 200
    assert noticed.value.spend is not None
    assert noticed.value.spend.amount == booked(ledger) == server.bill.total
    ledger.close()


@every_door
async def test_an_answer_that_lands_in_the_reasoning_field_is_put_right(door: Door) -> None:
    async with BillServer(Answer("Paris.", parser_mismatch=True)) as server:
        reply = await ask(door, server, mode="standard", max_tokens=50)
    assert reply.text == "Paris."
    assert reply.reasoning is None
    assert reply.mode == "standard"
    assert reply.warnings


@every_door
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_a_price_per_mode_bills_the_mode_that_was_asked_and_ran(door: Door, mode: Mode) -> None:
    standard, thinking = Rates.of("0.028", "0.28", "0.42"), Rates.of("0.028", "0.55", "1.68")
    async with BillServer(REFERENCE, rates=standard, thinking_rates=thinking) as server:
        reply = await ask(door, server, mode=mode, max_tokens=500, client={"prices": PriceBook.named("brief")})
    assert reply.cost.amount == server.bill.total
