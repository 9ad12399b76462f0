"""Grades live replies against references, by the graders for recorded outcomes or by a model that judges."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from deepthrift import Reply
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Money
from deepthrift_router._evidence.draft import unusable
from deepthrift_router.evaluation import CodeGrader, Grader, grader_named

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._evidence.sandbox import Sandbox

LiveGraderName: TypeAlias = Literal["exact", "numeric", "choice", "regex", "code", "judge"]
"""`exact`: the same answer in normal form. `numeric`: the same number, in whatever unit or format. `choice`: the same
letter. `regex`: the reference is a pattern that the text matches. `code`: the reference is tests that the answer's code
passes. `judge`: a model compares the answer with the reference."""

GRADERS: Final[tuple[LiveGraderName, ...]] = get_args(LiveGraderName)
_NUMBER: Final = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_VERDICT: Final = (
    "Question:\n{question}\n\nReference answer:\n{reference}\n\nAnswer to be graded:\n{answer}\n\n"
    "Does the answer to be graded say the same as the reference answer? Wording and format do not matter. "
    "Reply with one word: Yes or No."
)


class ReferenceGrader:
    """Grades replies against references.

    Args:
        name: The way to grade.
        judge: The client that judges; needed for `judge` only. Its calls are booked with the purpose `verify`.
        sandbox: The limits of code, for `code`. `Sandbox(required=False)` runs it unprotected where it cannot be
            isolated.

    Raises:
        ConfigurationError: The name is unknown, or there is nobody to judge.
    """

    def __init__(
        self, name: LiveGraderName, *, judge: AsyncClient | None = None, sandbox: Sandbox | None = None
    ) -> None:
        if name not in GRADERS:
            raise ConfigurationError(f"{name!r} is not a grader; use one of {', '.join(GRADERS)}")
        if name == "judge" and judge is None:
            raise ConfigurationError("the grader 'judge' needs a client to ask")
        self.name: LiveGraderName = name
        self._judge = judge
        self._grader: Grader | None = None
        if name == "code":
            self._grader = CodeGrader(sandbox)
        elif name != "judge":
            self._grader = grader_named(name)
        self.spent: Money | None = None
        """What the judge cost so far."""

    async def check(self) -> None:
        """Raises unless answers can be graded here, so that it is known before anything is asked.

        Raises:
            IsolationUnavailable: Code of answers has to be run, and cannot be isolated.
        """
        if isinstance(self._grader, CodeGrader):
            await self._grader.check()

    async def grade(self, question: str, reply: Reply, reference: str) -> bool | None:
        """Whether `reply` is right; `None` where the judge gave no verdict.

        Raises:
            ConfigurationError: The reference is no pattern, though it should be one.
            DeepthriftError: The judge could not be asked.
        """
        if unusable(reply) is not None:
            return False
        if self._grader is None:
            return await self._judged(question, reply.text, reference)
        if await self._grader.grade(question, reply.text, reference) >= 0.5:
            return True
        numbers = _NUMBER.findall(reply.text) if self.name == "numeric" else []
        # A reply that says more than a number is taken by its last one.
        return bool(numbers) and await self._grader.grade(question, str(numbers[-1]), reference) >= 0.5

    async def _judged(self, question: str, answer: str, reference: str) -> bool | None:
        judge = self._judge
        if judge is None:
            return None
        spec = _VERDICT.format(question=question, reference=reference, answer=answer)
        verdict = await judge.chat(spec, mode="standard", max_tokens=4, temperature=0, purpose="verify")
        cost = verdict.cost.total
        self.spent = cost if self.spent is None else self.spent + cost
        word = verdict.text.strip().casefold().strip(".!*")
        return True if word.startswith("yes") else False if word.startswith("no") else None
