"""A router's client, awaited or not: what is the same for both kinds."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError

T = TypeVar("T")


def async_of(client: AsyncClient | Client) -> AsyncClient:
    """The client that makes the calls."""
    return client if isinstance(client, AsyncClient) else client.asynchronous


def same_kind(client: AsyncClient | Client, other: AsyncClient | Client) -> AsyncClient:
    """The client that makes the calls of `other`.

    Raises:
        ConfigurationError: One of the two is awaited and the other isn't.
    """
    if isinstance(client, Client) and isinstance(other, Client):
        # One loop for both: a client belongs to the loop that first used it, and this one is unused.
        return async_of(other)
    if not isinstance(other, AsyncClient):
        raise ConfigurationError("the clients of one router are all AsyncClient, or all Client")
    return other


def through(client: AsyncClient | Client, work: Awaitable[T]) -> Awaitable[T] | T:
    """The result of `work` for a `Client`, and `work` itself for an `AsyncClient`."""
    if isinstance(client, AsyncClient):
        return work
    return client.run(_coroutine(work))


async def _coroutine(work: Awaitable[T]) -> T:
    return await work
