"""Ask for an object, and have it mended when it does not fit."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from deepthrift._call.chats import Chats
from deepthrift._call.group import Group
from deepthrift._types.errors import (
    APIError,
    DeadlineExceeded,
    DeepthriftError,
    InvalidRequestError,
    ResponseError,
    StructuredOutputError,
)
from deepthrift._types.messages import JSONObject, Message, Messages
from deepthrift._types.options import CallOptions, ChatOptions, chat_options
from deepthrift._types.reply import Reply
from deepthrift.hosts import Feature
from deepthrift.structured._reply import Parsed
from deepthrift.structured._target import SchemaMismatch, Target
from deepthrift_pricing import Mode

M = TypeVar("M")


class Parsing(Generic[M]):
    """One object, asked for once and mended at most `max_repairs` times.

    Raises:
        InvalidRequestError: The type or the limit is wrong.
    """

    def __init__(
        self,
        client: Chats,
        messages: Messages,
        into: type[M],
        *,
        mode: Mode,
        max_tokens: int | None,
        max_repairs: int,
        options: CallOptions,
        features: frozenset[Feature],
    ) -> None:
        if isinstance(max_repairs, bool) or not isinstance(max_repairs, int) or max_repairs < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"max_repairs is a whole number of at least 0, not {max_repairs!r}")
        self._client = client
        self._messages = messages
        self._target = Target(into)
        self._mode: Mode = mode
        self._max_tokens = max_tokens
        self._max_repairs = max_repairs
        self._options = options
        self._features = features
        self._group = Group(options.get("group_id"), client.base_url)
        deadline = options.get("deadline")
        self._end = None if deadline is None else asyncio.get_running_loop().time() + deadline

    async def run(self) -> Parsed[M]:
        """The object.

        Raises:
            StructuredOutputError: No answer had it.
            DeepthriftError: A call failed; the error carries the attempts and spend of all.
        """
        conversation, format_ = self._target.ask(self._messages, self._features)
        try:
            messages = conversation
            while True:
                reply = await self._client.chat(
                    messages, mode=self._mode, max_tokens=self._max_tokens, **self._call_options(format_)
                )
                self._group.replies.append(reply)
                try:
                    value = self._target.read(reply.text)
                except SchemaMismatch as mismatch:
                    problem = cut_off(reply)
                    if problem is not None or len(self._group.replies) > self._max_repairs:
                        raise self._failed(problem or f"the answer is no {self._target.name}: {mismatch}") from mismatch
                    messages = self._again(conversation, reply, mismatch)
                else:
                    return Parsed(
                        **self._group.fields(),
                        value=value,
                        repairs=len(self._group.replies) - 1,
                        group_id=self._group.id,
                    )
        except DeepthriftError as error:
            raise self._told(error) from error.__cause__

    def _call_options(self, format_: JSONObject | None) -> ChatOptions:
        options = chat_options(self._options, response_format=format_)
        options["group_id"] = self._group.id
        if self._group.replies:
            options["purpose"] = "repair"
        if self._end is not None:
            options["deadline"] = left = self._end - asyncio.get_running_loop().time()
            if left <= 0:
                raise DeadlineExceeded("the answer and its repairs took longer than the deadline")
        return options

    def _again(self, messages: list[Message], reply: Reply, mismatch: SchemaMismatch) -> list[Message]:
        """The same question with what is wrong; only the latest answer is shown, so that repairs stay cheap."""
        if not reply.text.strip():
            further = "\nThe answer must not be blank: begin with {"
            return self._target.ask(self._messages, self._features, further=further)[0]
        complaint = f"That does not fit: {mismatch}. Answer again with the whole mended JSON object and nothing else."
        return [*messages, {"role": "assistant", "content": reply.text}, {"role": "user", "content": complaint}]

    def _failed(self, problem: str) -> StructuredOutputError:
        repairs = len(self._group.replies) - 1
        return StructuredOutputError(
            problem + (f" (after {repairs} repair{'s' if repairs > 1 else ''})" if repairs else "")
        )

    def _told(self, error: DeepthriftError) -> DeepthriftError:
        """`error` with what all calls tried, spent and said."""
        self._group.annotate(error, 1 if isinstance(self._messages, str) else len(self._messages))
        if self._group.replies and isinstance(error, APIError | ResponseError) and error.partial is None:
            error.partial = Reply(**self._group.fields())
        return error


def cut_off(reply: Reply) -> str | None:
    """Why asking again would not help, or `None` if it may."""
    if reply.finish_reason == "content_filter":
        return "the endpoint withheld the answer (content_filter)"
    # Without a word of reasoning or text, it is not too short: JSON mode ran into blanks.
    if reply.finish_reason == "length" and (reply.text.strip() or reply.reasoning):
        spent = f"{reply.usage.completion_tokens:,} completion tokens"
        return f"the JSON was cut off after {spent}; raise max_tokens, or ask for less"
    return None
