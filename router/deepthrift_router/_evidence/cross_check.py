"""The same question to other endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepthrift import Reply
from deepthrift_router._belief.verification import CROSS_CHECK, check_outcome
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._evidence.call_check import FAILED, verify_call
from deepthrift_router._evidence.draft import Draft, Reading

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._calls.request import Request


class CrossCheck:
    """Whether one or two other endpoints give the same answer to the same messages."""

    name = CROSS_CHECK

    def __init__(self, clients: Sequence[AsyncClient]) -> None:
        self.clients: Sequence[AsyncClient | None] = tuple(clients)
        self.condition: str | None = f"of {len(clients)}"

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> CallSpec | str:
        """The very same question."""
        if drafts[0].answer is None:
            return "the answer is open text, which cannot be compared"
        return verify_call(request.messages, request.max_tokens, request)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """Of one: `agree`, `disagree` or `no_answer`. Of two: `both`, `first`, `second`, `against` or `differ`."""
        first = drafts[0].answer
        if first is None or not any(replies):
            return FAILED
        others = [None if reply is None else Draft.of(reply, request.question).answer for reply in replies]
        shown = " and ".join(repr(answer.form[:40]) if answer is not None else "none" for answer in (first, *others))
        return Reading(check_outcome(first, others), detail=shown)
