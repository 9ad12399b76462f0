"""The loop between the model and the tools that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deepthrift._call.chats import Chats
from deepthrift._call.group import Group
from deepthrift._types.errors import (
    APIError,
    DeadlineExceeded,
    DeepthriftError,
    InvalidRequestError,
    ResponseError,
    ToolCallCut,
    ToolError,
    ToolLoopExceeded,
)
from deepthrift._types.messages import Messages, ToolMessage, message_list
from deepthrift._types.options import CallOptions, ChatOptions, chat_options
from deepthrift._types.reply import Reply, ToolCall
from deepthrift._types.tool_reply import ToolLoopEvent, ToolReply, ToolResult
from deepthrift.tools._running import Toolbox
from deepthrift_pricing import Mode, Money

if TYPE_CHECKING:
    from deepthrift._types.options import ToolChoice


class ToolLoop:
    """One exchange: the model is asked, its tools run, it is asked again, until it answers.

    Raises:
        InvalidRequestError: A limit is wrong.
    """

    def __init__(
        self,
        client: Chats,
        messages: Messages,
        toolbox: Toolbox,
        *,
        mode: Mode,
        max_tokens: int | None,
        max_rounds: int,
        max_spend: Money | None,
        tool_choice: ToolChoice | None,
        tell: Callable[[ToolLoopEvent], object] | None,
        options: CallOptions,
    ) -> None:
        if isinstance(max_rounds, bool) or not isinstance(max_rounds, int) or max_rounds < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"max_rounds is a whole number of at least 1, not {max_rounds!r}")
        if max_spend is not None and max_spend.pico <= 0:
            raise InvalidRequestError(f"max_spend is more than nothing, not {max_spend}")
        self._client = client
        self._messages = message_list(messages)
        self._toolbox = toolbox
        self._definitions = toolbox.definitions
        self._mode: Mode = mode
        self._max_tokens = max_tokens
        self._max_rounds = max_rounds
        self._max_spend = max_spend
        self._tool_choice: ToolChoice | None = tool_choice
        self._tell = tell
        self._options = options
        self._group = Group(options.get("group_id"), client.base_url)
        self._results: list[ToolResult] = []
        deadline = options.get("deadline")
        self._end = None if deadline is None else asyncio.get_running_loop().time() + deadline

    async def run(self) -> ToolReply:
        """The exchange up to the model's answer.

        Raises:
            ToolError: It could not go on; the error carries what there is of it.
            DeepthriftError: A round failed; the error carries the attempts and spend of all rounds.
        """
        try:
            while True:
                reply = await self._round()
                calls = self._take(reply)
                if not calls:
                    return self._reply()
                self._check_cut(calls)
                if len(self._group.replies) >= self._max_rounds:
                    raise ToolLoopExceeded(
                        f"after {self._max_rounds} rounds the model still calls tools; raise max_rounds, or go on from "
                        "`partial.messages`"
                    )
                await self._run(calls)
        except DeepthriftError as error:
            raise self._told(error) from error.__cause__

    async def _round(self) -> Reply:
        """Ask the model once."""
        first = not self._group.replies
        options = chat_options(self._options, tools=self._definitions, tool_choice=self._tool_choice if first else None)
        options["group_id"] = self._group.id
        if self._end is not None:
            options["deadline"] = self._left()
        self._check_spend(options)
        if self._tell is None:
            return await self._client.chat(self._messages, mode=self._mode, max_tokens=self._max_tokens, **options)
        async with self._client.stream(
            self._messages, mode=self._mode, max_tokens=self._max_tokens, **options
        ) as stream:
            async for event in stream:
                self._tell(event)
        return stream.reply

    def _left(self) -> float:
        """Seconds until the deadline."""
        left = 0.0 if self._end is None else self._end - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceeded("the rounds and their tools took longer than the deadline")
        return left

    def _check_spend(self, options: ChatOptions) -> None:
        """Nothing, if the next round fits even at its worst.

        Raises:
            ToolLoopExceeded: It does not.
        """
        if self._max_spend is None:
            return
        worst = self._client.estimate(self._messages, mode=self._mode, max_tokens=self._max_tokens, **options).worst
        spent = self._group.spend or Money.zero(worst.currency)
        if spent + worst > self._max_spend:
            raise ToolLoopExceeded(
                f"round {len(self._group.replies) + 1} may cost up to {worst}, and {spent} of "
                f"max_spend={self._max_spend} is spent; raise max_spend, or lower max_tokens"
            )

    def _take(self, reply: Reply) -> Sequence[ToolCall]:
        """Keep an answer; returns the calls that it makes."""
        self._group.replies.append(reply)
        if not any(call.cut for call in reply.tool_calls):  # half a call is no part of a conversation to go on with
            self._messages.append(reply.message)
        return reply.tool_calls

    def _check_cut(self, calls: Sequence[ToolCall]) -> None:
        """Nothing, if every call is whole.

        Raises:
            ToolCallCut: One is not. Another round would be cut at the same place.
        """
        cut = next((call for call in calls if call.cut), None)
        if cut is None:
            return
        most = "max_tokens" if self._max_tokens is None else f"max_tokens={self._max_tokens}"
        raise ToolCallCut(
            f"the answer of round {len(self._group.replies)} reached its limit, {most}, inside the call of the tool "
            f"{cut.name!r}, so no tool of this round ran. Raise max_tokens; `partial` holds what arrived"
        )

    async def _run(self, calls: Sequence[ToolCall]) -> None:
        limit = asyncio.timeout_at(self._end)
        try:
            async with limit:
                results = await self._toolbox.run(calls)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded("the rounds and their tools took longer than the deadline") from None
        self._results += results
        for result in results:
            message: ToolMessage = {"role": "tool", "tool_call_id": result.call.id, "content": result.text}
            self._messages.append(message)

    def _reply(self) -> ToolReply:
        return ToolReply(
            **self._group.fields(),
            messages=tuple(self._messages),
            rounds=len(self._group.replies),
            results=tuple(self._results),
            group_id=self._group.id,
        )

    def _told(self, error: DeepthriftError) -> DeepthriftError:
        """`error` with what all rounds tried, spent and said."""
        self._group.annotate(error, len(self._messages))
        if self._group.replies and isinstance(error, APIError | ResponseError | ToolError) and error.partial is None:
            error.partial = self._reply()
        return error
