"""What the synchronous client asks of an endpoint beside chats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from deepthrift._client.async_requests import AsyncRequests
from deepthrift._client.tasks import Tasks
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import JSONObject, Messages
from deepthrift._types.options import CallOptions, ChatOptions
from deepthrift._types.reply import Reply
from deepthrift_pricing import Estimate, Mode

if TYPE_CHECKING:
    from deepthrift._call.sync_stream import Stream
    from deepthrift._types.account import Balance, ModelInfo
    from deepthrift._types.reply import Embeddings
    from deepthrift._types.samples import Samples


class Requests(Tasks):
    """Completions of plain text, embeddings, counts, models and the balance; see `AsyncRequests`."""

    @property
    @abstractmethod
    def _tasks(self) -> AsyncRequests: ...

    def samples(
        self,
        messages: Messages,
        *,
        n: int,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Samples:
        """`n` answers to the same question; see `AsyncClient.samples`."""
        return self._run(self._tasks.samples(messages, n=n, mode=mode, max_tokens=max_tokens, **options))

    def complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply:
        """What the model writes after `prompt`, or between `prompt` and `suffix`; see `AsyncClient.complete`."""
        return self._run(self._tasks.complete(prompt, suffix=suffix, max_tokens=max_tokens, **options))

    def stream_complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Stream:
        """The same as `complete`, as it arrives."""
        return self._opened(
            lambda: self._tasks.stream_complete(prompt, suffix=suffix, max_tokens=max_tokens, **options)
        )

    def estimate_complete(
        self,
        prompt: str,
        *,
        suffix: str | None = None,
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[CallOptions],
    ) -> Estimate:
        """What `complete` will cost; see `AsyncClient.estimate_complete`."""
        return self._tasks.estimate_complete(
            prompt, suffix=suffix, max_tokens=max_tokens, expected_length=expected_length, **options
        )

    def embed(self, texts: str | Sequence[str], *, tags: Mapping[str, str] | None = None) -> Embeddings:
        """Texts as vectors; see `AsyncClient.embed`."""
        return self._run(self._tasks.embed(texts, tags=tags))

    def count(self, messages: Messages, *, mode: Mode = "standard", tools: Sequence[JSONObject] | None = None) -> int:
        """Prompt tokens of a conversation; see `AsyncClient.count`."""
        return self._run(self._tasks.count(messages, mode=mode, tools=tools))

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that the endpoint lists; see `AsyncClient.models`."""
        return self._run(self._tasks.models())

    def balance(self) -> Balance:
        """What is left on the provider's account; see `AsyncClient.balance`."""
        return self._run(self._tasks.balance())
