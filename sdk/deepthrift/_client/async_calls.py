"""One call of the asynchronous client: answered, as it arrives, or priced before it is sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Unpack

from deepthrift._call.stream import AsyncStream
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions, Options, options_of
from deepthrift._types.reply import Reply
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Estimate, Mode, PrefixTracker

if TYPE_CHECKING:
    from deepthrift._call.target import Target
    from deepthrift._call.targets import Targets


class AsyncCalls(ABC):
    """Chats, on top of what sends requests; batches, tool loops and the like are made of them."""

    _prefixes: PrefixTracker

    @property
    @abstractmethod
    def host(self) -> HostProfile:
        """The profile of the endpoint."""

    @property
    @abstractmethod
    def model(self) -> str:
        """The model's name."""

    @property
    @abstractmethod
    def base_url(self) -> str:
        """Where the endpoint is."""

    @property
    @abstractmethod
    def _currency(self) -> Currency: ...

    @property
    @abstractmethod
    def _running(self) -> Targets: ...

    @abstractmethod
    def _ready(self) -> Target: ...

    @abstractmethod
    async def _answered(self, options: Options) -> Reply: ...

    @abstractmethod
    def _streamed(self, options: Options) -> AsyncStream: ...

    @abstractmethod
    def _estimated(
        self, given: Options, prefixes: PrefixTracker | None, expected_length: ExpectedLength | None
    ) -> Estimate: ...

    async def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """One complete answer.

        Args:
            messages: A conversation in the OpenAI shape, or a string for one user message. It is not changed.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate, reasoning included; left out, the host's own default is reserved.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            PriceNotFound: It has no price; nothing was sent.
            BudgetExceeded: It does not fit a budget; nothing was sent.
            APIError: The endpoint could not be used, or answered with an error.
            ResponseError: The answer cannot be used.
        """
        return await self._answered(options_of(messages, mode, max_tokens, options))

    def stream(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
        """One answer as it arrives; see `chat` for the arguments and errors, and `AsyncStream` for its use."""
        return self._streamed(options_of(messages, mode, max_tokens, options))

    def estimate(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[ChatOptions],
    ) -> Estimate:
        """What a call will cost at least, probably and at most, before it is sent. Sends nothing itself.

        Args:
            messages: As for `chat`, and so are `mode`, `max_tokens` and `options`.
            mode: The mode to estimate; the other one is another estimate.
            max_tokens: The most tokens to generate.
            expected_length: Tells how many tokens the answer will have, or `None` if it does not know; left out, the
                ledger's own history of this host, model and mode tells.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
        """
        given = options_of(messages, mode, max_tokens, options)
        return self._estimated(given, self._prefixes, expected_length)
