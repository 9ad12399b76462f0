"""From replies to evidence: what the signals say of each answer that came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepthrift import Reply
from deepthrift_pricing import Money
from deepthrift_router._belief.verification import Verification, extent_of
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router._evidence.own_checks import DEFAULT_SECONDS, Check, judged
from deepthrift_router._evidence.signals import FinishSignal, free_signals
from deepthrift_router._evidence.validators import Validator

if TYPE_CHECKING:
    from deepthrift_router._calls.request import Request
    from deepthrift_router._evidence.call_check import CallCheck


class Reader:
    """Reads the answers to one question, and keeps them."""

    def __init__(
        self,
        seen: Verification,
        request: Request,
        validators: Sequence[Validator],
        free: Money,
        own_checks: Sequence[Check] = (),
    ) -> None:
        self._seen = seen
        self._request = request
        self._validators = validators
        self._free = free
        self._own_checks = own_checks
        self.drafts: list[Draft] = []

    async def first(
        self, reply: Reply, *, cut: tuple[str, str] | None = None, seconds: float = DEFAULT_SECONDS
    ) -> None:
        """The free signals of the first standard answer, and what the user's own checks say of it.

        `cut` has the signal and the detail that ended the answer early. `seconds` limits the user's own checks.
        """
        draft = Draft.of(reply, self._request.question)
        self.drafts.append(draft)
        if cut is not None:
            self._seen.observe(cut[0], "cut", self._free, detail=cut[1], decisive=True)
            return
        wants_logprobs = bool(self._request.options.get("logprobs") or self._request.options.get("top_logprobs"))
        for signal in free_signals(self._validators, logprobs=wants_logprobs):
            read = await signal.read(draft)
            if isinstance(read, str):
                self._seen.missing.append(f"{signal.name}: {read}")
                continue
            self._seen.observe(
                signal.name,
                read.outcome,
                self._free,
                detail=read.detail,
                decisive=read.decisive,
                matter_of_course=isinstance(signal, FinishSignal),
            )
            if read.decisive:
                return
        self._seen.start(draft.answer, self._free)
        for name, result in await judged(self._own_checks, self._request.question, reply, seconds):
            if isinstance(result, str):
                self._seen.missing.append(f"{name}: {result}")
                continue
            self._seen.observe(name, result.outcome, self._free, detail=result.detail, stated=result.likelihood)

    def sample(self, reply: Reply) -> None:
        """A further standard answer, compared with those before it."""
        draft = Draft.of(reply, self._request.question)
        self.drafts.append(draft)
        problem = unusable(reply)
        self._seen.sample(draft.answer, reply.cost.total, problem=None if problem is None else problem[1])

    async def bought(self, check: CallCheck, replies: Sequence[Reply | None]) -> None:
        """What a check says of the first answer."""
        read = await check.read(replies, self.drafts, self._request)
        if isinstance(read, str):
            self._seen.missing.append(f"{check.name}: {read}")
            return
        answer = self.drafts[0].answer
        condition = check.condition or ("any" if answer is None else extent_of(answer))
        cost = Money.sum((reply.cost.total for reply in replies if reply is not None), self._free.currency)
        self._seen.observe(check.name, read.outcome, cost, condition=condition, detail=read.detail)

    async def refused(self, reply: Reply) -> str | None:
        """Why a thinking answer cannot be accepted, or `None`."""
        draft = Draft.of(reply, self._request.question)
        for signal in free_signals(self._validators):
            read = await signal.read(draft)
            if not isinstance(read, str) and read.decisive:
                return f"{signal.name}: {read.detail or read.outcome}"
        return None
