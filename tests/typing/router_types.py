"""What a type checker tells a user of the router."""

from __future__ import annotations

from typing import assert_type

from deepthrift import AsyncClient, Client, Reply
from deepthrift_router import ModeRouter, RoutedReply


async def routed(client: AsyncClient) -> None:
    router = ModeRouter(client)
    reply = await router.chat("How many primes are below 1,000?", max_tokens=256)
    assert_type(reply, RoutedReply)
    plain: Reply = reply
    assert_type(plain.text, str)
    assert_type(reply.confidence, float)


async def routed_batch(client: AsyncClient, sync: Client) -> None:
    await client.batch(["How many primes are below 1,000?"], through=ModeRouter(client))
    sync.batch(["How many primes are below 1,000?"], through=ModeRouter(sync))
    sync.batch(["How many primes are below 1,000?"], through=ModeRouter(client))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
