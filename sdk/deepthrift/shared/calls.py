"""What a call can come to, before it is made, and calls of another model of a client's endpoints."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions, options_of
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift._call.prepare.estimate import Bound as Bound
    from deepthrift._client.async_client import AsyncClient


def bound_of(
    client: AsyncClient, messages: Messages, mode: Mode, max_tokens: int | None, options: ChatOptions
) -> Bound:
    """The most that a call of `client` can come to, and what is likely, worked out when it is read.

    Raises:
        InvalidRequestError: The request is wrong.
        PriceNotFound: It has no price.
    """
    return client._session.bound(options_of(messages, mode, max_tokens, options))  # pyright: ignore[reportPrivateUsage]


def with_model(client: AsyncClient, model: str) -> AsyncClient:
    """`client` for calls of another model: its connections, ledger, limits and budgets are the same, and so is its end.

    Raises:
        ConfigurationError: It is of a local engine, which runs one model.
    """
    found = copy(client)
    found._session = client._session.for_model(model)  # pyright: ignore[reportPrivateUsage]
    return found
