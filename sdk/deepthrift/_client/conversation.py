"""A conversation that grows, counts itself, fits a limit and can be kept as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, cast, overload

from deepthrift._types.errors import ContextLengthExceeded, InvalidRequestError
from deepthrift._types.messages import JSONObject, Message, ToolMessage
from deepthrift._types.reply import Reply
from deepthrift_pricing import Mode
from deepthrift_pricing.shared.files import read_text

_VERSION: Final = 1


class Conversation(Sequence[Message]):
    """A list of messages with the care that a long conversation needs; give it to `chat` as it is.

    Reasoning is kept beside each answer for those who want to read it. The client leaves it out of what it sends, or
    sends it, by the host's rule.

    >>> talk = Conversation(system="Be brief.")
    >>> talk.user("What is 2 + 2?").assistant("4").user("And 3 + 3?").count_tokens(mode="standard")
    27
    """

    def __init__(self, messages: Iterable[Message] = (), *, system: str | None = None) -> None:
        self._messages: list[Message] = []
        if system is not None:
            self._messages.append({"role": "system", "content": system})
        for message in messages:
            self.append(message)

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self._messages[index]

    def __repr__(self) -> str:
        return f"Conversation({len(self._messages)} messages)"

    def append(self, message: Message) -> Self:
        """Add one message in the OpenAI shape.

        Raises:
            InvalidRequestError: It is no such message, or a tool result that answers no call.
        """
        if not isinstance(message, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # messages also come from files
            raise InvalidRequestError(
                f"{type(message).__name__} is not a message: give a mapping with a role and content"
            )
        from deepthrift_pricing.tokens import render

        render([cast("Mapping[str, object]", message)], mode="standard")
        if message["role"] == "tool" and message.get("tool_call_id") not in self._open_calls():
            raise InvalidRequestError(f"no tool call waits for a result with the id {message.get('tool_call_id')!r}")
        self._messages.append(message)
        return self

    def user(self, text: str) -> Self:
        """Add what the user says."""
        return self.append({"role": "user", "content": text})

    def assistant(self, text: str) -> Self:
        """Add what the model said, given as text."""
        return self.append({"role": "assistant", "content": text})

    def extend(self, messages: Iterable[Message]) -> Self:
        """Add several messages; none, if one of them is wrong.

        Raises:
            InvalidRequestError: As for `append`.
        """
        before = len(self._messages)
        try:
            for message in messages:
                self.append(message)
        except BaseException:
            del self._messages[before:]
            raise
        return self

    def add(self, reply: Reply) -> Self:
        """Add an answer with its reasoning and tool calls; that of `run_tools`, with every round and its results.

        Raises:
            InvalidRequestError: It is the answer of `run_tools` to another conversation.
        """
        from deepthrift.tools import ToolReply

        if not isinstance(reply, ToolReply):
            return self.append(reply.message)
        known = len(self._messages)
        if list(reply.messages[:known]) != self._messages:
            raise InvalidRequestError("this is the answer to another conversation; add it to the one that was asked")
        return self.extend(reply.messages[known:])

    def copy(self) -> Conversation:
        """A conversation of its own with the same messages so far, to try another turn."""
        copied = Conversation()
        copied._messages = list(self._messages)
        return copied

    def tool_result(self, tool_call_id: str, text: str) -> Self:
        """Add the result of a tool call.

        Raises:
            InvalidRequestError: No call with this id waits for a result.
        """
        message: ToolMessage = {"role": "tool", "tool_call_id": tool_call_id, "content": text}
        return self.append(message)

    def count_tokens(self, *, mode: Mode, tools: Sequence[JSONObject] | None = None) -> int:
        """The exact number of prompt tokens on V3.1."""
        from deepthrift_pricing.tokens import count_messages

        messages = cast("Sequence[Mapping[str, object]]", self._messages)
        return count_messages(messages, mode=mode, tools=cast("Sequence[Mapping[str, object]] | None", tools))

    def trim(
        self,
        max_tokens: int,
        *,
        mode: Mode,
        target: int | None = None,
        tools: Sequence[JSONObject] | None = None,
    ) -> list[Message]:
        """Drop the oldest turns until the prompt has at most `max_tokens` tokens.

        A turn is a user message with everything up to the next one, so no tool call loses its result. System messages
        and the last turn always stay. Once a turn has to go, turns are dropped down to `target`, three quarters of
        `max_tokens` by default: trimming a little before every call would change the prefix every time, and lose the
        host's cache with it.

        Returns:
            The messages that were dropped, oldest first.

        Raises:
            ContextLengthExceeded: The system messages and the last turn alone have more; nothing was dropped.
        """
        aim = max_tokens * 3 // 4 if target is None else min(target, max_tokens)
        if self.count_tokens(mode=mode, tools=tools) <= max_tokens:
            return []
        system: list[Message] = [message for message in self._messages if message["role"] == "system"]
        turns = self._turns()
        least = Conversation([*system, *turns[-1]]).count_tokens(mode=mode, tools=tools)
        if least > max_tokens:
            raise ContextLengthExceeded(
                f"the system messages and the last turn have {least} tokens, more than the {max_tokens} allowed: "
                "shorten the last message, or split it"
            )
        # Counting is monotone in the turns kept, so halving finds the longest rest that fits.
        low, high = 1, len(turns) - 1
        while low < high:
            middle = (low + high) // 2
            kept = Conversation(_joined(system, turns[middle:]))
            if kept.count_tokens(mode=mode, tools=tools) <= aim:
                high = middle
            else:
                low = middle + 1
        dropped = [message for turn in turns[:low] for message in turn]
        self._messages = _joined(system, turns[low:])
        return dropped

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation as JSON, readable by its owner alone; an old file is replaced in one step."""
        import tempfile  # some milliseconds

        whole = {"deepthrift_conversation": _VERSION, "messages": self._messages}
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(whole, file, ensure_ascii=False, indent=1)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Conversation:
        """Read what `save` wrote; a bare JSON list of messages will do too.

        Raises:
            InvalidRequestError: The file is no conversation.
        """
        try:
            whole: object = json.loads(read_text(path))
        except ValueError as error:
            raise InvalidRequestError(f"{os.fspath(path)!r} is not JSON: {error}") from error
        if isinstance(whole, dict):
            kept = cast("dict[str, object]", whole)
            whole = kept.get("messages") if kept.get("deepthrift_conversation") == _VERSION else None
        if not isinstance(whole, list):
            raise InvalidRequestError(f"{os.fspath(path)!r} is not a conversation of version {_VERSION}")
        return cls(cast("list[Message]", whole))

    def _open_calls(self) -> set[str]:
        waiting: set[str] = set()
        for message in self._messages:
            if message["role"] == "assistant":
                waiting = {call["id"] for call in message.get("tool_calls", ())}
            elif message["role"] == "tool":
                waiting.discard(message["tool_call_id"])
        return waiting

    def _turns(self) -> list[list[Message]]:
        turns: list[list[Message]] = [[]]
        for message in self._messages:
            if message["role"] == "system":
                continue
            if message["role"] == "user" and turns[-1]:
                turns.append([])
            turns[-1].append(message)
        return turns


def _joined(system: list[Message], turns: list[list[Message]]) -> list[Message]:
    return [*system, *(message for turn in turns for message in turn)]
