"""The ways into the router, so that one scenario tries them all: awaited or not, streamed or not."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal, TypeAlias

import pytest

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift_router import Escalated, ModeRouter, RoutedReply
from tests.support.bill_server import BillServer
from tests.support.doors import settings

Way: TypeAlias = Literal["chat", "verified stream", "optimistic stream", "sync chat", "sync stream"]
WAYS: Final[tuple[Way, ...]] = ("chat", "verified stream", "optimistic stream", "sync chat", "sync stream")
every_way = pytest.mark.parametrize("way", WAYS)


async def route(
    way: Way, server: BillServer, question: Any, *, client: dict[str, Any] | None = None, **options: Any
) -> RoutedReply:
    """One routed answer, with a client of its own; a stream has to show exactly the answer at its end."""
    if way.startswith("sync"):
        return await asyncio.to_thread(_in_sync, way, server, question, client or {}, options)
    async with AsyncClient(**settings(server, **(client or {}))) as opened:
        router = ModeRouter(opened)
        if way == "chat":
            return await router.chat(question, **options)
        mode: Any = way.split(maxsplit=1)[0]
        async with router.stream(question, mode=mode, **options) as stream:
            events = [event async for event in stream]
    return _shown(events, stream.reply)


def _in_sync(way: Way, server: BillServer, question: Any, client: dict[str, Any], options: Any) -> RoutedReply:
    with Client(**settings(server, **client)) as opened:
        router = ModeRouter(opened)
        if way == "sync chat":
            return router.chat(question, **options)
        with router.stream(question, mode="optimistic", **options) as stream:
            return _shown(list(stream), stream.reply)


def _shown(events: list[Any], reply: RoutedReply) -> RoutedReply:
    text = ""
    for event in events:
        text = "" if isinstance(event, Escalated) else text + event.text if isinstance(event, TextDelta) else text
    assert text == reply.text
    return reply
