"""16. A truncated (`length`) or empty answer is never accepted as confident."""

from __future__ import annotations

import pytest

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.oracle import oracle

QUESTION = "What is 6 times 7, and why?"
USELESS = {
    "truncated": Answer("The answer is 42", finish_reason="length"),
    "empty": Answer("", text_tokens=3),
    "blank": Answer("  \n "),
    "filtered": Answer("The answer", finish_reason="content_filter"),
    "interrupted": Answer("The answer is 42", finish_reason="insufficient_system_resource"),
}
GOOD = Answer("42, because seven sixes are forty-two.", "Seven sixes. " * 10)


@pytest.mark.parametrize("how", USELESS)
async def test_a_useless_answer_is_not_accepted(how: str) -> None:
    async with (
        BillServer(oracle(QUESTION, [USELESS[how]], GOOD)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=400)
    assert reply.mode == "thinking"
    assert reply.text == GOOD.text
    assert reply.cost.amount == server.bill.total


@pytest.mark.parametrize("how", USELESS)
async def test_a_useless_answer_in_both_modes_is_never_confident(how: str) -> None:
    async with (
        BillServer(oracle(QUESTION, [USELESS[how]], USELESS[how])) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=400)
    assert reply.confidence < 0.5
    assert reply.finish_reason == USELESS[how].finish_reason
    assert reply.cost.amount == server.bill.total


async def test_an_answer_that_max_tokens_cut_is_never_confident() -> None:
    """Both modes run into the same limit: the answer comes back, marked for what it is."""
    async with (
        BillServer(oracle(QUESTION, [GOOD], GOOD)) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=3)
    assert reply.finish_reason == "length"
    assert reply.confidence < 0.5
    assert all(request.max_tokens == 3 for request in server.requests)
