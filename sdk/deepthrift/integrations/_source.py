"""Whatever answers in a framework's place: a client, a router on one, or an object of yours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, cast

from deepthrift._client.async_client import AsyncClient
from deepthrift._client.client import Client
from deepthrift._types.errors import ConfigurationError
from deepthrift._types.reply import Reply


class ChatSource(Protocol):
    """Anything with `chat` and `stream`: an `AsyncClient`, a `Client`, a `ModeRouter` on one, or an object of yours."""

    @property
    def chat(self) -> Callable[..., object]:
        """Gives one complete answer, awaited or not."""
        ...

    @property
    def stream(self) -> Callable[..., object]:
        """Gives one answer as it arrives."""
        ...


JSON: TypeAlias = "dict[str, object]"


def client_of(source: object) -> AsyncClient | Client | None:
    """The client that makes the calls, where it can be told."""
    inner = getattr(source, "client", source)
    return inner if isinstance(inner, AsyncClient | Client) else None


def is_awaited(source: ChatSource) -> bool:
    """Whether `chat` has to be awaited."""
    client = client_of(source)
    if client is not None:
        return isinstance(client, AsyncClient)
    return inspect.iscoroutinefunction(source.chat)


def refuse_awaited(source: ChatSource) -> None:
    """Nothing, for a source that need not be awaited.

    Raises:
        ConfigurationError: It has to be.
    """
    if is_awaited(source):
        raise ConfigurationError(
            "this stands on an AsyncClient, which is awaited; use a Client, or the awaited methods"
        )


def model_name(source: object) -> str:
    """The model's name, where it can be told."""
    client = client_of(source)
    return "deepseek-v3.1" if client is None else client.model


def billed(reply: Reply) -> JSON:
    """Where a reply came from and what it cost, as plain data: what a router adds is there too."""
    added = reply.model_dump(mode="json", exclude=set(Reply.model_fields))
    return {
        "model_name": reply.model,
        "model_provider": "deepthrift",
        "finish_reason": reply.finish_reason,
        "host": reply.host,
        "mode": reply.mode,
        "cost": cast("Mapping[str, object]", reply.cost.model_dump(mode="json")),
        "call_id": reply.call_id,
        "attempt_ids": [attempt.id for attempt in reply.attempts],
        "warnings": list(reply.warnings),
        **added,
    }
