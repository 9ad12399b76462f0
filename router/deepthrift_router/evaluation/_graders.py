"""Graders: whether an answer is right, by one of the usual means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import Final, Literal, Protocol, TypeAlias

from deepthrift.errors import ConfigurationError
from deepthrift_router._answers.answers import normal_form, parse_answer, same_answer
from deepthrift_router._answers.quantities import Quantity, parse_quantity
from deepthrift_router._evidence.sandbox import Sandbox
from deepthrift_router._evidence.validators import code_of
from deepthrift_router.evaluation._outcomes import Outcome

GraderName: TypeAlias = Literal["exact", "numeric", "choice", "regex", "code"]
"""The graders that need nothing but a reference."""
_NUMBER: Final = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
Judge: TypeAlias = Callable[[str, str, str], bool | float]
"""Your own judge: question, answer and reference; whether the answer is right, or a grade from 0 to 1."""


class Grader(Protocol):
    """Grades an answer."""

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """From 0, wrong, to 1, right."""
        ...


class ExactGrader:
    """Right when it says the same as the reference, in normal form: `1,234.50 USD` is `$1234.5`."""

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """1 or 0."""
        found, wanted = parse_answer(answer, question), normal_form(reference, question)
        return float(found is not None and wanted is not None and same_answer(found, wanted))


class NumericGrader:
    """Right when its number is within `tolerance` of the reference's, as a share of it."""

    def __init__(self, tolerance: float = 1e-6) -> None:
        if not tolerance >= 0:
            raise ConfigurationError(f"the tolerance is a share, 0 or more, not {tolerance!r}")
        self._tolerance = tolerance

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """1 or 0; 0 where there is no number."""
        ours, theirs = _quantity(answer, question), _quantity(reference, question)
        if ours is None or theirs is None:
            return 0.0
        if ours.same(theirs):
            return 1.0
        if ours.unit and theirs.unit and ours.unit != theirs.unit:
            return 0.0
        return float(abs(float(ours.value) - float(theirs.value)) <= self._tolerance * abs(float(theirs.value)))


def _quantity(text: str, question: str) -> Quantity | None:
    """The number that a text gives: its answer, else the last number in it."""
    answer = parse_answer(text, question)
    if answer is not None and answer.quantity is not None:
        return answer.quantity
    numbers = _NUMBER.findall(text)
    return parse_quantity(str(numbers[-1]).casefold()) if numbers else None


class ChoiceGrader:
    """Right when it chooses the reference's letter, or writes that option out."""

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """1 or 0."""
        found, wanted = parse_answer(answer, question), normal_form(reference.strip(), question)
        if found is None or wanted is None:
            return 0.0
        return float(found.kind == wanted.kind and found.form.casefold() == wanted.form.casefold())


class RegexGrader:
    """Right when the reference, a regular expression, is found in the answer."""

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """1 or 0.

        Raises:
            ConfigurationError: The reference is no regular expression.
        """
        try:
            return float(re.search(reference, answer) is not None)
        except re.error as error:
            raise ConfigurationError(f"{reference!r} is not a regular expression: {error}") from None


class CodeGrader:
    """Right when the answer's code passes the reference, which is test code; both run isolated, or not at all.

    Args:
        sandbox: The limits; `Sandbox(required=False)` runs the code unprotected where it cannot be isolated.
    """

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox or Sandbox()

    async def check(self) -> None:
        """Raises unless the code of answers can be run here, so that it is known before anything is asked.

        Raises:
            IsolationUnavailable: It cannot be isolated.
        """
        await self._sandbox.check()

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """1 or 0.

        Raises:
            IsolationUnavailable: The code cannot be isolated here; it was not run.
        """
        # Code that ends the process before the tests has not passed them.
        reached = token_hex(16)
        done = await self._sandbox.run(f"{code_of(answer)}\n\n{reference}\n\nprint({reached!r})\n")
        return float(done.ok and done.output.rstrip().endswith(reached))


class JudgeGrader:
    """Right when your own function says so, such as one that asks another model."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def grade(self, question: str, answer: str, reference: str) -> float:
        """What the judge says, between 0 and 1."""
        return min(1.0, max(0.0, float(self._judge(question, answer, reference))))


def grader_named(name: GraderName, *, tolerance: float = 1e-6, sandbox: Sandbox | None = None) -> Grader:
    """The grader of that name; `sandbox` has the limits of code, for `code`.

    Raises:
        ConfigurationError: There is none.
    """
    if name == "numeric":
        return NumericGrader(tolerance)
    if name == "code":
        return CodeGrader(sandbox)
    known: dict[str, type[ExactGrader | ChoiceGrader | RegexGrader]] = {
        "exact": ExactGrader,
        "choice": ChoiceGrader,
        "regex": RegexGrader,
    }
    if name not in known:
        raise ConfigurationError(f"{name!r} is not a grader; use exact, numeric, choice, regex or code")
    return known[name]()


async def grade_outcomes(outcomes: Iterable[Outcome], grader: Grader) -> list[Outcome]:
    """Grades what has a reference and no grade yet; the rest is as it was."""
    return [await _graded(outcome, grader) for outcome in outcomes]


async def _graded(outcome: Outcome, grader: Grader) -> Outcome:
    if outcome.reference is None:
        return outcome
    found: dict[str, object] = {}
    standard = outcome.standard_answer if outcome.standard_answer is not None else outcome.standard_final
    thinking = outcome.thinking_answer if outcome.thinking_answer is not None else outcome.thinking_final
    if outcome.standard_correct is None and standard is not None:
        found["standard_correct"] = await _grade(outcome, grader, standard)
    if outcome.thinking_correct is None and thinking is not None:
        found["thinking_correct"] = await _grade(outcome, grader, thinking)
    texts = outcome.standard_extra.sample_answers or outcome.standard_extra.sample_finals
    if outcome.standard_samples_correct is None and texts:
        found["standard_samples_correct"] = tuple([await _grade(outcome, grader, text or "") for text in texts])
    return outcome.model_copy(update=found)


async def _grade(outcome: Outcome, grader: Grader, answer: str) -> float:
    return await grader.grade(outcome.question, answer, outcome.reference or "")
