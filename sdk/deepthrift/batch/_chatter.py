"""Whatever can be asked in the client's place, such as a router."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Protocol, Unpack

from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions
from deepthrift._types.reply import Reply
from deepthrift._util.threads import in_thread


class Chatter(Protocol):
    """Anything with an awaited `chat`: an `AsyncClient`, a `ModeRouter` on one, or an object of yours.

    It is called with the messages, `max_tokens`, and the options of the row; see `ChatOptions`.
    """

    @property
    def chat(self) -> Callable[..., Awaitable[Reply]]:
        """Gives one complete answer."""
        ...


class SyncChatter(Protocol):
    """Anything with a `chat` that is not awaited: a `Client`, a `ModeRouter` on one, or an object of yours.

    It is called with the messages, `max_tokens`, and the options of the row; see `ChatOptions`.
    """

    @property
    def chat(self) -> Callable[..., Reply]:
        """Gives one complete answer."""
        ...


class Threaded:
    """A chatter that is not awaited, as one that is: each of its answers is made in a thread of its own."""

    def __init__(self, chatter: SyncChatter) -> None:
        self._chatter = chatter

    async def chat(self, messages: Messages, *, max_tokens: int | None = None, **options: Unpack[ChatOptions]) -> Reply:
        """One complete answer."""

        def work() -> Reply:
            return self._chatter.chat(messages, max_tokens=max_tokens, **options)

        reply = await in_thread(work, {})
        if inspect.iscoroutine(reply):
            reply.close()
            raise ConfigurationError(
                f"{type(self._chatter).__name__}.chat is awaited here; make it on a Client, or use the awaited form"
            )
        return reply
