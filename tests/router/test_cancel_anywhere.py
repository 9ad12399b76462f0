"""A routed answer may be cancelled at every await: nothing billed is lost, and nothing stays reserved or open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import ModeRouter, Preferences
from tests.router.support import QUESTION
from tests.support.bill_server import Answer, BillServer, Received
from tests.support.doors import owed, settings

PROGRAM = Answer("```python\nprint('Sydney')\n```")


def script(request: Received) -> Answer:
    """Every step of a cascade: samples that differ, a check, and thinking."""
    if request.mode_ran == "thinking":
        return Answer("Canberra.", reasoning="Not Sydney, which is larger. " * 3, merge=4)
    if "program" in request.question:
        return PROGRAM
    return Answer("Sydney." if request.number % 2 else "Canberra.")


async def chat(router: ModeRouter[AsyncClient], **options: Any) -> None:
    await router.chat(QUESTION, max_tokens=200, **options)


async def stream(router: ModeRouter[AsyncClient]) -> None:
    async with router.stream(QUESTION, mode="optimistic", max_tokens=200, policy="cascade") as events:
        async for _ in events:
            pass


WAYS: dict[str, Any] = {
    "chat": lambda router: chat(router, policy="cascade"),
    "race": lambda router: chat(router, preferences=Preferences(policy="cascade", race=True)),
    "stream": stream,
    "checked": lambda router: chat(router, policy="cascade"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_cancelled_after_any_turn(way: str) -> None:
    """One answer after the other is cancelled one turn of the event loop later than the one before."""
    ledger = Ledger.open("memory:", budgets=[Budget("100", per="total")])
    answered = 0
    async with BillServer(script) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
        async with ModeRouter(client, audit_rate=0.3, checks=["program"] if way == "checked" else ()) as router:
            for turns in range(400):
                task = asyncio.create_task(WAYS[way](router))
                for _ in range(turns):
                    if task.done():
                        break
                    await asyncio.sleep(0 if turns < 60 else 0.0004 * 1.02 ** (turns - 60))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if not task.cancelled():
                    await task  # no cancellation comes out as another error
                    answered += 1
                if answered == 3:
                    break
        await server.wait_quiet()
    assert answered == 3, "the answers were never given time to end"
    attempts = ledger.attempts()
    assert not [attempt.id for attempt in attempts if attempt.status == "reserved"]
    assert sum(attempt.cost.amount for attempt in attempts) >= owed(server)
    [status] = ledger.budget_status()
    assert not status.reserved
    ledger.close()
