"""31. A host reports zero tokens for text that arrived, or one for 400 words: the client's count is booked instead."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, HostProfile
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import BillServer, RawBody, Received
from tests.support.doors import Door, ask, booked, every_door, prices, settings
from tests.support.extras import import_module

CALLS = 50
PROMPT = "Say it again and again"
WORDS = "word " * 400
LIMIT = "0.005"
"""USD: room for fewer than ten of these answers at the reference prices."""
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
CLAIMS = {"zero": ZERO, "one": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, "none": None}
every_claim = pytest.mark.parametrize("claim", CLAIMS)


def says(claim: str) -> Callable[[Received], RawBody]:
    """The words with a usage that cannot be true."""

    def body(request: Received) -> RawBody:
        usage, choice = CLAIMS[claim], {"index": 0, "finish_reason": "stop"}
        if not request.stream:
            whole = {"choices": [{**choice, "message": {"role": "assistant", "content": WORDS}}], "usage": usage}
            return RawBody(json.dumps(whole).encode())
        chunks = [{"choices": [{**choice, "delta": {"content": WORDS}}]}, {"choices": [], "usage": usage}]
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return RawBody(f"{events}data: [DONE]\n\n".encode(), content_type="text/event-stream")

    return body


async def until_refused(call: Callable[[], Awaitable[object]]) -> int:
    """How many calls come through before a budget refuses one."""
    for answered in range(CALLS):
        try:
            await call()
        except BudgetExceeded:
            return answered
    return CALLS


@every_door
@every_claim
async def test_a_hard_budget_ends(door: Door, claim: str) -> None:
    with Ledger.open(budgets=[Budget(LIMIT, per="total")]) as ledger:
        async with BillServer(says(claim)) as server:
            reply = await ask(door, server, PROMPT, max_tokens=500, client={"ledger": ledger})
            assert reply.usage.completion_tokens >= 400
            assert (reply.usage.certainty, reply.cost.certainty) == ("estimated", "estimated")
            assert any("estimated" in warning for warning in reply.warnings)
            assert (
                0
                < await until_refused(lambda: ask(door, server, PROMPT, max_tokens=500, client={"ledger": ledger}))
                < CALLS
            )
        [status] = ledger.budget_status()
    assert status.spent.amount > status.limit.amount / 2


@every_claim
async def test_the_facade_s_budget_ends(claim: str) -> None:
    with Ledger.open(budgets=[Budget(LIMIT, per="total")]) as ledger:
        async with BillServer(says(claim)) as server:
            facade = import_module("deepthrift_router.compat").AsyncOpenAI
            async with facade(
                base_url=server.url, api_key="key", host="vllm", prices=prices(), ledger=ledger
            ) as client:
                message: Any = {"role": "user", "content": PROMPT}

                async def call() -> object:
                    return await client.chat.completions.create(
                        model="deepseek-chat", messages=[message], max_tokens=500
                    )

                assert 0 < await until_refused(call) < CALLS


@every_claim
async def test_a_batch_ends(claim: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    row = {"method": "POST", "url": "/v1/chat/completions"}
    body = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 500}
    source.write_text(
        "".join(json.dumps({**row, "custom_id": str(number), "body": body}) + "\n" for number in range(CALLS))
    )
    with Ledger.open(budgets=[Budget(LIMIT, per="total")]) as ledger:
        async with BillServer(says(claim)) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            summary = await client.batch_file(source, out, concurrency=2)
        assert 0 < summary.answered < CALLS
        assert isinstance(summary.stopped, BudgetExceeded)
        assert {attempt.cost.certainty for attempt in ledger.attempts() if attempt.usage} == {"estimated"}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert all("estimated" in line["deepthrift"]["warnings"][0] for line in lines if line["response"])


@every_claim
async def test_embeddings_end(claim: str) -> None:
    profile = HostProfile.parse('name = "mine"\nembeddings = true')

    def vectors(_: object) -> object:
        return {"data": [{"index": 0, "embedding": [0.1, 0.2]}], "usage": CLAIMS[claim]}

    with Ledger.open(budgets=[Budget(LIMIT, per="total")]) as ledger:
        async with (
            BillServer(routes={"/embeddings": vectors}) as server,
            AsyncClient(server.url, host=profile, model="e", prices=prices(), ledger=ledger) as client,
        ):
            found = await client.embed(WORDS)
            assert found.usage.prompt_tokens >= 400
            assert (found.cost.certainty, bool(found.warnings)) == ("estimated", True)
            assert 0 < await until_refused(lambda: client.embed(WORDS)) < CALLS


@every_door
async def test_an_honest_host_stays_exact(door: Door) -> None:
    async with BillServer() as server:
        ledger = Ledger.open()
        reply = await ask(door, server, "What is the capital of France?", max_tokens=50, client={"ledger": ledger})
        assert (reply.cost.certainty, reply.warnings) == ("exact", ())
        assert booked(ledger) == server.bill.total
        ledger.close()
