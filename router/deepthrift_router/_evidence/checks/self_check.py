"""The model's own verdict on its answer, in one token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepthrift import ChatOptions, Message, Reply
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._calls.request import as_messages
from deepthrift_router._evidence.call_check import FAILED, CallCheck, verify_call
from deepthrift_router._evidence.draft import Draft, Reading
from deepthrift_router._evidence.sandbox import Sandbox

if TYPE_CHECKING:
    from deepthrift_router._calls.request import Request

_VERDICT: Final = "Is the answer above right? Reply with one word: Yes or No."


class SelfCheck:
    """What the model says of its own answer, in one token: as a probability where the host gives log-probabilities."""

    name = "self_check"
    clients = (None,)
    condition = None

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> CallSpec | str:
        """The draft, with the question whether it is right."""
        options: ChatOptions = {"temperature": 0}
        if logprobs:
            options["top_logprobs"] = 5
        messages: list[Message] = [
            *as_messages(request.messages),
            {"role": "assistant", "content": drafts[0].reply.text},
            {"role": "user", "content": _VERDICT},
        ]
        return verify_call(messages, 1, request, options)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """`sure`, `yes`, `no`, or `unclear`."""
        if (reply := replies[0]) is None:
            return FAILED
        chance = _chance_of_yes(reply)
        if chance is not None:
            outcome = "sure" if chance >= 0.9 else "yes" if chance >= 0.5 else "no"
            return Reading(outcome, detail=f"{chance:.2f} for yes")
        word = reply.text.strip().casefold().rstrip(".!")
        return Reading(word if word in ("yes", "no") else "unclear")


def _chance_of_yes(reply: Reply) -> float | None:
    """The probability of Yes against No in the first token, or `None` where there are no log-probabilities."""
    if not reply.logprobs:
        return None
    token = reply.logprobs[0]
    chances = {"yes": 0.0, "no": 0.0}
    for text, logprob in {token.token: token.logprob, **dict(token.top)}.items():
        word = text.strip().casefold()
        if word in chances and logprob is not None:
            chances[word] += math.exp(logprob)
    total = sum(chances.values())
    return chances["yes"] / total if total > 0 else None


def make(sandbox: Sandbox | None) -> CallCheck:
    """This check; it runs no code."""
    return SelfCheck()
