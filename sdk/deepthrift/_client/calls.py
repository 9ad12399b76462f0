"""One call of the synchronous client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar, Unpack

from deepthrift._call.stream import AsyncStream
from deepthrift._client.async_calls import AsyncCalls
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions
from deepthrift._types.reply import Reply
from deepthrift_pricing import Estimate, Mode

if TYPE_CHECKING:
    from deepthrift._call.sync_stream import Stream

T = TypeVar("T")


class Calls(ABC):
    """Chats; see `AsyncCalls`."""

    @property
    @abstractmethod
    def _tasks(self) -> AsyncCalls: ...

    @abstractmethod
    def _run(self, work: Coroutine[object, object, T]) -> T: ...

    @abstractmethod
    def _opened(self, opening: Callable[[], AsyncStream]) -> Stream: ...

    def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """One complete answer; see `AsyncClient.chat`."""
        return self._run(self._tasks.chat(messages, mode=mode, max_tokens=max_tokens, **options))

    def stream(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream:
        """One answer as it arrives; see `AsyncClient.stream`."""
        return self._opened(lambda: self._tasks.stream(messages, mode=mode, max_tokens=max_tokens, **options))

    def estimate(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[ChatOptions],
    ) -> Estimate:
        """What a call will cost; see `AsyncClient.estimate`."""
        return self._tasks.estimate(
            messages, mode=mode, max_tokens=max_tokens, expected_length=expected_length, **options
        )
