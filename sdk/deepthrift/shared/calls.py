"""What a call can come to, before it is made."""

from __future__ import annotations

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
