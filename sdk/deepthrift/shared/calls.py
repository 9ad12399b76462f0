"""What a call can come to, before it is made, and calls of another model of a client's endpoints."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions, options_of
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift._call.prepare.estimate import Bound as Bound
    from deepthrift._call.stream import AsyncStream
    from deepthrift._client.async_client import AsyncClient
    from deepthrift._types.reply import Reply

Conversations: TypeAlias = dict[tuple[object, ...], object]
"""The conversations of one routed answer, laid out and counted once for its bounds and its calls."""


def bound_of(
    client: AsyncClient,
    messages: Messages,
    mode: Mode,
    max_tokens: int | None,
    options: ChatOptions,
    prepared: Conversations,
) -> Bound:
    """The most that a call of `client` can come to; its conversation is prepared for the call itself.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    given = replace(options_of(messages, mode, max_tokens, options), prepared=prepared)
    return client._session.bound(given)  # pyright: ignore[reportPrivateUsage]


async def answer(
    client: AsyncClient,
    messages: Messages,
    mode: Mode,
    max_tokens: int | None,
    options: ChatOptions,
    prepared: Conversations,
) -> Reply:
    """`client.chat`, with what is prepared already."""
    given = replace(options_of(messages, mode, max_tokens, options), prepared=prepared)
    return await client._session.answer(given)  # pyright: ignore[reportPrivateUsage]


def stream(
    client: AsyncClient,
    messages: Messages,
    mode: Mode,
    max_tokens: int | None,
    options: ChatOptions,
    prepared: Conversations,
) -> AsyncStream:
    """`client.stream`, with what is prepared already."""
    given = replace(options_of(messages, mode, max_tokens, options), prepared=prepared)
    return client._session.stream(given)  # pyright: ignore[reportPrivateUsage]


def with_model(client: AsyncClient, model: str) -> AsyncClient:
    """`client` for calls of another model: its connections, ledger, limits and budgets are the same, and so is its end.

    Raises:
        ConfigurationError: It is of a local engine, which runs one model.
    """
    found = copy(client)
    found._session = client._session.for_model(model)  # pyright: ignore[reportPrivateUsage]
    return found
