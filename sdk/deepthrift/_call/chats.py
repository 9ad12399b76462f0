"""What tool loops and structured output need of a client: its calls, and nothing else."""

from __future__ import annotations

from typing import Protocol, Unpack

from deepthrift._call.stream import AsyncStream
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions
from deepthrift._types.reply import Reply
from deepthrift_pricing import Estimate, Mode


class Chats(Protocol):
    """A client as tool loops and structured output see it."""

    @property
    def base_url(self) -> str:
        """Where the endpoint is."""
        ...

    async def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """One complete answer."""
        ...

    def stream(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
        """One answer as it arrives."""
        ...

    def estimate(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[ChatOptions],
    ) -> Estimate:
        """What a call will cost."""
        ...
