"""Checks that cost a call, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from deepthrift import ChatOptions, Message, Messages, Reply
from deepthrift_router._answers.answers import Answer, same_answer
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._calls.request import as_messages
from deepthrift_router._evidence.draft import Draft, Reading

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._calls.request import Request

FAILED: Final = "its call failed"


class CallCheck(Protocol):
    """A signal that is bought: one call, and what its reply says about the standard answer."""

    @property
    def name(self) -> str:
        """Its name in the decision and in the table of likelihoods."""
        ...

    @property
    def clients(self) -> Sequence[AsyncClient | None]:
        """Whom it asks, each the same; `None`: the router's own client."""
        ...

    @property
    def condition(self) -> str | None:
        """Which of its tables of likelihoods holds; `None`: the one for answers of that length."""
        ...

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> CallSpec | str:
        """The call that it needs, or why it has nothing to ask."""
        ...

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """What the replies say about the first draft, or why they say nothing; `None` for one that failed."""
        ...


def extended(messages: Messages, text: str) -> list[Message]:
    """`messages` with `text` below the last question: everything before it stays as it was, for the prefix cache."""
    listed = as_messages(messages)
    last = listed[-1]
    content = last.get("content")
    if last["role"] == "user" and isinstance(content, str):
        return [*listed[:-1], {"role": "user", "content": f"{content}\n\n{text}"}]
    return [*listed, {"role": "user", "content": text}]


def verify_call(messages: Messages, most: int | None, request: Request, further: ChatOptions | None = None) -> CallSpec:
    """A standard call of its own; of the user's options those that say where and for whom it runs."""
    options = request.plain_options()
    options.update(further or {})
    return CallSpec("standard", "verify", messages, most, options)


def compared(first: Answer | None, other: Answer | None) -> Reading:
    """`agree` or `disagree`, or `no_answer` where there is nothing to compare."""
    if first is None or other is None:
        return Reading("no_answer", detail="there is no answer to compare with")
    same = same_answer(first, other)
    return Reading("agree" if same else "disagree", detail=f"{first.form[:40]!r} and {other.form[:40]!r}")
