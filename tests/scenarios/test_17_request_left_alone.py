"""17. Routing leaves the messages, the history and `max_tokens` as the user gave them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.oracle import oracle

LAST = "And how many of them are below 1,000?"
HISTORY: list[Any] = [
    {"role": "system", "content": "Answer with a number.  Keep   odd spacing.\n"},
    {"role": "user", "content": "How many primes are below 100?"},
    {"role": "assistant", "content": "25"},
    {"role": "user", "content": LAST},
]


@pytest.mark.parametrize("given", [LAST, HISTORY], ids=["text", "history"])
@pytest.mark.parametrize("agreeing", [True, False], ids=["accepted", "escalated"])
async def test_every_request_carries_what_the_user_gave(given: Any, agreeing: bool) -> None:
    standard = [Answer("168"), Answer("168" if agreeing else "170"), Answer("168" if agreeing else "160")]
    before = copy.deepcopy(given)
    async with (
        BillServer(oracle(LAST, standard, Answer("168"))) as server,
        AsyncClient(**settings(server)) as client,
    ):
        await ModeRouter(client).chat(
            given, max_tokens=321, top_p=0.9, stop=["###"], tags={"team": "search"}, extra_body={"user_id": "u1"}
        )
    assert given == before
    expected = HISTORY if given is HISTORY else [{"role": "user", "content": LAST}]
    answering = [request for request in server.requests if LAST in request.question]
    assert answering
    assert agreeing or answering[-1].mode_ran == "thinking"
    for request in answering:
        assert request.messages == expected
        assert request.max_tokens == 321
        assert request.body["stop"] == ["###"]
        assert request.body["user_id"] == "u1"


async def test_without_max_tokens_none_is_made_up_for_one_mode_only() -> None:
    async with (
        BillServer(oracle(LAST, [Answer("168"), Answer("170")], Answer("168"))) as server,
        AsyncClient(**settings(server)) as client,
    ):
        plain = await client.chat(HISTORY, mode="standard")
        thought = await client.chat(HISTORY, mode="thinking")
        alone = {request.mode_ran: request.max_tokens for request in server.requests}
        server.requests.clear()
        await ModeRouter(client).chat(HISTORY)
        for request in server.requests:
            assert request.max_tokens == alone[request.mode_ran]
    assert plain.text
    assert thought.text
