"""What the synchronous client does with several calls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar, Unpack

from deepthrift._client.async_tasks import AsyncTasks
from deepthrift._client.calls import Calls
from deepthrift._types.messages import Messages
from deepthrift._types.options import CallOptions, ToolChoice, chat_options
from deepthrift_pricing import Mode, Money

if TYPE_CHECKING:
    from deepthrift.structured import Parsed, ParseStream
    from deepthrift.tools import OnError, Tool, ToolLoopEvent, ToolReply

M = TypeVar("M")
T = TypeVar("T")


class Tasks(Calls):
    """Tool loops and structured output; see `AsyncTasks`."""

    @property
    @abstractmethod
    def _tasks(self) -> AsyncTasks: ...

    def run_tools(
        self,
        messages: Messages,
        *,
        tools: Sequence[Callable[..., object] | Tool],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_rounds: int = 10,
        max_spend: str | Decimal | Money | None = None,
        parallel: bool = True,
        on_error: OnError = "report",
        tool_choice: ToolChoice | None = None,
        on_event: Callable[[ToolLoopEvent], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> ToolReply:
        """The model's answer, after it has called tools; see `AsyncClient.run_tools`.

        Functions that are not awaited run in threads of their own, `on_event` and awaited ones in the client's thread.
        """
        return self._run(
            self._tasks.run_tools(
                messages,
                tools=tools,
                mode=mode,
                max_tokens=max_tokens,
                max_rounds=max_rounds,
                max_spend=max_spend,
                parallel=parallel,
                on_error=on_error,
                tool_choice=tool_choice,
                on_event=on_event,
                **options,
            )
        )

    def parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_repairs: int = 1,
        **options: Unpack[CallOptions],
    ) -> M:
        """The answer as a validated object; see `AsyncClient.parse`."""
        reply = self.parse_reply(
            messages, into=into, mode=mode, max_tokens=max_tokens, max_repairs=max_repairs, **options
        )
        return reply.value

    def parse_reply(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_repairs: int = 1,
        **options: Unpack[CallOptions],
    ) -> Parsed[M]:
        """The same as `parse`, as a reply with `value`, cost, usage and attempts; repairs are part of them."""
        return self._run(
            self._tasks.parse_reply(
                messages, into=into, mode=mode, max_tokens=max_tokens, max_repairs=max_repairs, **options
            )
        )

    def stream_parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> ParseStream[M]:
        """The object as it grows; see `AsyncClient.stream_parse`."""
        from deepthrift.structured._stream import ParseStream
        from deepthrift.structured._target import Target

        target = Target(into)
        asked, format_ = target.ask(messages, self._tasks._features(mode))  # pyright: ignore[reportPrivateUsage]
        given = chat_options(options, response_format=format_)
        stream = self.stream(asked, mode=mode, max_tokens=max_tokens, **given)
        return ParseStream(stream, target, url=self._tasks.base_url, messages=len(asked))
