"""The question answered by a program, which is run in a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepthrift import Reply
from deepthrift.errors import ConfigurationError, IsolationUnavailable
from deepthrift_router._answers.answers import parse_answer
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._evidence.call_check import FAILED, CallCheck, compared, extended, verify_call
from deepthrift_router._evidence.draft import Draft, Reading
from deepthrift_router._evidence.isolation import isolation_line, sure_problem, unavailable
from deepthrift_router._evidence.sandbox import Sandbox
from deepthrift_router._evidence.validators import code_of

if TYPE_CHECKING:
    from deepthrift_router._calls.request import Request

_PROGRAM_TOKENS: Final = 1_024
_PROGRAM: Final = (
    "Do not answer in words. Write one Python program, standard library only, that computes the answer to the question "
    "above and prints the answer alone. Reply with the program in one ```python block."
)


class ProgramCheck:
    """Whether a program comes to the same answer. It runs isolated, or not at all: then no call is bought for it."""

    name = "program"
    clients = (None,)
    condition = None

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()
        self._problem: str | None = None
        """Why code is not run here, once that is known."""

    def ask(self, drafts: Sequence[Draft], request: Request, *, logprobs: bool) -> CallSpec | str:
        """The same question, to be computed instead of reasoned."""
        if self._sandbox.required and self._problem is None and (problem := sure_problem()) is not None:
            self._problem = unavailable(problem).message
        if self._problem is not None:
            return self._problem
        answer = drafts[0].answer
        if answer is None or answer.kind in ("code", "text"):
            return "only numbers, choices, dates and data are computed"
        most = _PROGRAM_TOKENS if request.max_tokens is None else min(request.max_tokens, _PROGRAM_TOKENS)
        return verify_call(extended(request.messages, _PROGRAM), most, request)

    async def read(self, replies: Sequence[Reply | None], drafts: Sequence[Draft], request: Request) -> Reading | str:
        """`agree`, `disagree`, or `no_answer` where the program fails or prints nothing."""
        if (reply := replies[0]) is None:
            return FAILED
        try:
            done = await self._sandbox.run(code_of(reply.text))
        except IsolationUnavailable as error:
            self._problem = error.message
            return error.message
        except (OSError, ConfigurationError) as error:  # the answer that it was to check is there and paid for
            return f"the program could not be run: {error}"
        printed = done.output.strip()
        if not done.ok or not printed:
            problem = (done.errors.strip() or "it printed nothing").splitlines()[-1]
            return Reading("no_answer", detail=f"the program failed: {problem[:200]}; {isolation_line(done.isolation)}")
        reading = compared(drafts[0].answer, parse_answer(printed, request.question))
        return Reading(reading.outcome, detail=f"{reading.detail}; {isolation_line(done.isolation)}")


def make(sandbox: Sandbox | None) -> CallCheck:
    """This check, its programs in `sandbox`."""
    return ProgramCheck(sandbox)
