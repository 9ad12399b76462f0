"""A routed call against the server that keeps the true bill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift._call.attempt import booking as _books
from deepthrift_pricing import Ledger, utc_now
from deepthrift_router import ModeRouter, RoutedReply
from tests.support.bill_server import Answer, Behaviour, BillServer, Handler
from tests.support.doors import settings

QUESTION = "What is the capital of Australia?"
CANBERRA = Answer("Canberra.", reasoning="Sydney is larger, but it is not the capital. " * 4)
SYDNEY = Answer("Sydney.")


def by_mode(standard: Behaviour | Sequence[Behaviour], thinking: Behaviour | Sequence[Behaviour]) -> Handler:
    """Standard and thinking requests answered in order; the last one repeats."""
    queues = {
        "standard": [standard] if not isinstance(standard, Sequence) else list(standard),
        "thinking": [thinking] if not isinstance(thinking, Sequence) else list(thinking),
    }

    def handle(request: Any) -> Behaviour:
        queue = queues[request.mode_ran]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    return handle


class Pace:
    """Calls that take these seconds on record, however fast the machine is: each one moves the clock of the books."""

    def __init__(self, patch: pytest.MonkeyPatch, standard: float, thinking: float) -> None:
        self._seconds = {"standard": standard, "thinking": thinking}
        self._now = utc_now()
        patch.setattr(_books, "utc_now", lambda: self._now)
        self.ledger = Ledger.open("memory:", clock=lambda: self._now)

    def of(self, handler: Handler) -> Handler:
        """The same answers."""

        def handle(request: Any) -> Behaviour:
            self._now += timedelta(seconds=self._seconds[request.mode_ran])
            return handler(request)

        return handle


@asynccontextmanager
async def routing(
    standard: Behaviour | Sequence[Behaviour],
    thinking: Behaviour | Sequence[Behaviour] = CANBERRA,
    *,
    ledger: Ledger | None = None,
    client: dict[str, Any] | None = None,
    pace: Pace | None = None,
    **router: Any,
) -> AsyncIterator[tuple[ModeRouter[AsyncClient], BillServer]]:
    """A router on a client of a server that answers so."""
    answers = by_mode(standard, thinking)
    if pace is not None:
        answers, own = pace.of(answers), pace.ledger
    else:
        own = Ledger.open("memory:") if ledger is None else ledger
    try:
        async with (
            BillServer(answers) as server,
            AsyncClient(**settings(server, ledger=own, max_retries=0, **(client or {}))) as opened,
        ):
            yield ModeRouter(opened, **router), server
    finally:
        if own is not ledger:
            own.close()


async def route(
    standard: Behaviour | Sequence[Behaviour],
    thinking: Behaviour | Sequence[Behaviour] = CANBERRA,
    *,
    question: Any = QUESTION,
    ledger: Ledger | None = None,
    client: dict[str, Any] | None = None,
    router: dict[str, Any] | None = None,
    **call: Any,
) -> tuple[RoutedReply, BillServer]:
    """One routed call, with `max_tokens=400` unless told otherwise."""
    async with routing(standard, thinking, ledger=ledger, client=client, **(router or {})) as (routed, server):
        return await routed.chat(question, **{"max_tokens": 400, **call}), server
