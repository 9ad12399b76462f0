"""The four ways into the client, on a running engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from deepthrift import AsyncClient, Client, Reply
from deepthrift.local import Engine
from tests.support.doors import Door, through_async, through_sync


async def ask(
    door: Door, engine: Engine, messages: str | Sequence[Any], *, client: dict[str, Any] | None = None, **call: Any
) -> Reply:
    """One call through one door with a client of its own; `client` holds its settings."""
    options = client or {}
    if door.startswith("async"):
        async with AsyncClient.local(engine=engine, **options) as opened:
            return await through_async(opened, messages, streamed=door.endswith("stream"), **call)

    def in_sync() -> Reply:
        with Client.local(engine=engine, **options) as opened:
            return through_sync(opened, messages, streamed=door.endswith("stream"), **call)

    return await asyncio.to_thread(in_sync)
