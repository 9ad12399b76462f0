"""What the asynchronous client does with several calls: each is made of `chat` and `stream` alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar, Unpack

from deepthrift._async_calls import AsyncCalls
from deepthrift._messages import Messages
from deepthrift._options import CallOptions, ToolChoice, chat_options
from deepthrift.hosts import Feature
from deepthrift_pricing import Mode, Money

if TYPE_CHECKING:
    from deepthrift._core import Settings
    from deepthrift.structured import AsyncParseStream, Parsed
    from deepthrift.tools import OnError, Tool, ToolLoopEvent, ToolReply

M = TypeVar("M")


class AsyncTasks(AsyncCalls):
    """Tool loops and structured output, on top of a client's calls."""

    _settings: Settings

    @abstractmethod
    def _features(self, mode: Mode) -> frozenset[Feature]:
        """What every endpoint that a call may go to can do in `mode`."""

    async def run_tools(
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
        """The model's answer, after it has called as many tools as it wants.

        A call with wrong arguments or of an unknown tool is told to the model as the call's result. `deadline` holds
        for all rounds and tools together, `timeout` for each attempt.

        Args:
            messages: As for `chat`.
            tools: Typed functions, awaited or not, or `Tool.of(…)`. A function that is not awaited runs in a thread.
            mode: V3.1 calls tools in standard mode only.
            max_tokens: The most tokens to generate in each round.
            max_rounds: How often the model may be asked.
            max_spend: The most that all rounds may cost, in the currency of the prices: a round is sent only if it
                fits at its worst.
            parallel: Whether the calls of one round run at the same time, up to eight of them; their order is kept.
            on_error: Whether the model reads the exception of a tool (`"report"`), or `ToolFailed` is raised.
            tool_choice: For the first round; after that, the model is free.
            on_event: Called with each event as it comes; the rounds are streamed then.
            **options: See `CallOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            ToolLoopExceeded: A limit was reached; `partial` has the exchange so far.
            ToolCallCut: `max_tokens` ended an answer inside a tool call; nothing of that round ran.
            ToolFailed: A tool raised, and `on_error` is `"raise"`.
            DeepthriftError: A round failed, as in `chat`; the spend is that of all rounds.
        """
        from deepthrift.tools._loop import ToolLoop
        from deepthrift.tools._running import Toolbox

        if max_spend is not None and not isinstance(max_spend, Money):
            max_spend = Money.of(max_spend, self._currency)
        loop = ToolLoop(
            self,
            messages,
            Toolbox(tools, parallel=parallel, on_error=on_error, tell=on_event),
            mode=mode,
            max_tokens=max_tokens,
            max_rounds=max_rounds,
            max_spend=max_spend,
            tool_choice=tool_choice,
            tell=on_event,
            options=self._within_deadline(options),
        )
        return await loop.run()

    async def parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        max_repairs: int = 1,
        **options: Unpack[CallOptions],
    ) -> M:
        """The answer as a validated object; `parse_reply` has its cost as well.

        The best that the host offers in this mode is used: a JSON schema, else its JSON mode, else the prompt alone.

        Args:
            messages: As for `chat`. What the JSON has to look like is added to the last message.
            into: A pydantic model, dataclass or `TypedDict`.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate in each call.
            max_repairs: How often the model may mend an answer that does not fit; it is shown what is wrong.
            **options: See `CallOptions`. `deadline` holds for all calls together.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            StructuredOutputError: The answer does not fit, is blank or was cut off; `partial` has it and its cost.
            DeepthriftError: A call failed, as in `chat`; the spend is that of all calls.
        """
        reply = await self.parse_reply(
            messages, into=into, mode=mode, max_tokens=max_tokens, max_repairs=max_repairs, **options
        )
        return reply.value

    async def parse_reply(
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
        from deepthrift.structured._parse import Parsing

        parsing = Parsing(
            self,
            messages,
            into,
            mode=mode,
            max_tokens=max_tokens,
            max_repairs=max_repairs,
            options=self._within_deadline(options),
        )
        return await parsing.run()

    def stream_parse(
        self,
        messages: Messages,
        *,
        into: type[M],
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncParseStream[M]:
        """The object as it grows; see `parse` for the arguments and errors, and `AsyncParseStream` for its use.

        There are no repairs: what has been shown cannot be taken back.
        """
        from deepthrift.structured._stream import AsyncParseStream
        from deepthrift.structured._target import Target

        target = Target(into)
        asked, format_ = target.ask(messages, self._features(mode))
        given = chat_options(options, response_format=format_)
        stream = self.stream(asked, mode=mode, max_tokens=max_tokens, **given)
        return AsyncParseStream(stream, target, url=self.base_url, messages=len(asked))

    def _within_deadline(self, options: CallOptions) -> CallOptions:
        """`options` with the client's own deadline where they have none."""
        if options.get("deadline") is not None:
            return options
        return {**options, "deadline": self._settings.deadline}
