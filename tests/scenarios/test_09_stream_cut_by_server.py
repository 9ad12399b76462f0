"""9. A stream that the server cuts raises a typed error with the partial answer, and books the partial spend."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift.errors import DeepthriftError, StreamInterrupted
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, Door, ask, booked, every_stream

CUT = 40


@every_stream
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_a_cut_stream_carries_and_books_what_arrived(door: Door, mode: str) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(cache_hit=0, cut_after=CUT)) as server:
        with pytest.raises(StreamInterrupted) as cut:
            await ask(door, server, mode=mode, max_tokens=500, client={"ledger": ledger})
        assert len(server.requests) == 1, "text had arrived: a second run would be paid for twice"
    partial = cut.value.partial
    assert partial is not None
    got = partial.text if mode == "standard" else partial.reasoning
    assert got is not None
    assert got.split() == ["the"] * CUT
    assert cut.value.spend is not None
    assert cut.value.spend.amount == partial.cost.amount == server.bill.total == Decimal("0.0011872")
    assert partial.cost.certainty == "estimated"
    assert booked(ledger) == server.bill.total
    assert cut.value.attempt_ids == tuple(attempt.id for attempt in ledger.attempts())
    ledger.close()


@every_stream
@pytest.mark.parametrize("shape", ["openai", "vllm", "openrouter"])
async def test_an_error_inside_the_stream_carries_and_books_what_arrived(door: Door, shape: str) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(cache_hit=0, error_after=CUT, error_shape=shape)) as server:
        with pytest.raises(StreamInterrupted, match="the engine failed") as cut:
            await ask(door, server, mode="standard", max_tokens=500, client={"ledger": ledger})
    assert cut.value.partial is not None
    assert cut.value.partial.text.split() == ["the"] * CUT
    assert booked(ledger) == server.bill.total == Decimal("0.0011872")
    ledger.close()


@every_stream
async def test_a_stream_cut_before_its_first_token_is_never_an_empty_answer(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(REFERENCE.but(cache_hit=0, cut_after=0)) as server:
        with pytest.raises(DeepthriftError) as cut:
            await ask(door, server, mode="standard", max_tokens=500, client={"ledger": ledger})
    assert cut.value.spend is not None
    assert booked(ledger) == cut.value.spend.amount >= server.bill.total > 0
    ledger.close()
