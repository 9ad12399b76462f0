"""What the synchronous client asks of an endpoint beside chats."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepthrift._async_requests import AsyncRequests
from deepthrift._messages import JSONObject, Messages
from deepthrift._tasks import Tasks
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift._account import Balance, ModelInfo


class Requests(Tasks):
    """Counts, models and the balance; see `AsyncRequests`."""

    @property
    @abstractmethod
    def _tasks(self) -> AsyncRequests: ...

    def count(self, messages: Messages, *, mode: Mode = "standard", tools: Sequence[JSONObject] | None = None) -> int:
        """Prompt tokens of a conversation; see `AsyncClient.count`."""
        return self._run(self._tasks.count(messages, mode=mode, tools=tools))

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that the endpoint lists; see `AsyncClient.models`."""
        return self._run(self._tasks.models())

    def balance(self) -> Balance:
        """What is left on the provider's account; see `AsyncClient.balance`."""
        return self._run(self._tasks.balance())
