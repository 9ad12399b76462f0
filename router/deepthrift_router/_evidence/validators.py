"""A user's own checks of an answer: any function of the reply, and ready-made ones."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from deepthrift import Reply
from deepthrift.errors import ConfigurationError, IsolationUnavailable
from deepthrift_router._evidence.isolation import isolation_line
from deepthrift_router._evidence.sandbox import Sandbox

if TYPE_CHECKING:
    from deepthrift_router._evidence.draft import Draft, Reading


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found, and a note for the record that goes with either outcome."""

    passed: bool
    reason: str = ""
    """Why it did not pass."""
    note: str = ""
    """What a reader of the decision should know, such as how the code was isolated."""


Validator: TypeAlias = Callable[[Reply], bool | str | Verdict | Awaitable[bool | str | Verdict]]
"""Your own check of an answer, awaited or not: `True` when it passes, else `False` or the reason as text; a `Verdict`
adds a note to the decision. One that raises `ValueError` or `AssertionError` refuses the answer, too; any other
exception counts as no evidence."""

_FENCE: Final = re.compile(r"```(?:[\w+-]*)[ \t]*\n(.*?)```", re.DOTALL)


class Fits:
    """The answer is JSON, alone or in a code block, that fits a pydantic model, a dataclass or a `TypedDict`.

    Raises:
        InvalidRequestError: The type cannot be validated.
    """

    def __init__(self, into: type[object]) -> None:
        from deepthrift.shared.structured import Target

        self._read: Callable[[str], object] = Target(into).read
        self.__name__ = f"Fits({into.__name__})"

    def __call__(self, reply: Reply) -> bool | str:
        """Whether it fits, or what does not."""
        from deepthrift.shared.structured import SchemaMismatch

        try:
            self._read(reply.text)
        except SchemaMismatch as mismatch:
            return str(mismatch)
        return True


class Matches:
    """The answer matches a regular expression somewhere; with `whole`, from its beginning to its end.

    Raises:
        ConfigurationError: The expression is wrong.
    """

    def __init__(self, pattern: str | re.Pattern[str], *, whole: bool = False) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(f"{pattern!r} is not a regular expression: {error}") from error
        self._whole = whole
        self.__name__ = f"Matches({self._pattern.pattern})"

    def __call__(self, reply: Reply) -> bool | str:
        """Whether it matches."""
        text = reply.text.strip()
        found = self._pattern.fullmatch(text) if self._whole else self._pattern.search(text)
        return True if found else f"it does not match {self._pattern.pattern!r}"


class PassesTests:
    """The Python code of the answer passes your tests, which run below it in a sandbox of its own.

    The code runs isolated or not at all; where it cannot be isolated, the check raises `IsolationUnavailable`, and the
    router counts it as no evidence and says so. What isolation held is part of the evidence in `reply.decision`.

    Args:
        tests: Python code, such as `assert add(2, 3) == 5`.
        sandbox: Its limits; left out, 5 seconds and 512 MB. `Sandbox(required=False)` runs the code unprotected where
            it cannot be isolated.
    """

    def __init__(self, tests: str, sandbox: Sandbox | None = None) -> None:
        self._tests = tests
        self._sandbox = sandbox or Sandbox()
        self.__name__ = "PassesTests"
        self.isolation: tuple[str, ...] | None = None
        """What was shut off in the last run: `network`, `processes`, `files`; `None` before the first."""

    async def __call__(self, reply: Reply) -> bool | str:
        """Whether they pass, or the last line that they said and what isolation held.

        Raises:
            IsolationUnavailable: The code cannot be isolated here; it was not run.
        """
        verdict = await self.judge(reply)
        return verdict.passed or (f"{verdict.reason} ({verdict.note})" if verdict.note else verdict.reason)

    async def judge(self, reply: Reply) -> Verdict:
        """Whether they pass, why not, and what isolation held.

        Raises:
            IsolationUnavailable: The code cannot be isolated here; it was not run.
        """
        code = code_of(reply.text)
        if not code.strip():
            return Verdict(passed=False, reason="there is no code in it")
        # The tests end in a word of their own: code that ends the program early has not passed them.
        token = f"passed-{id(self):x}-{len(code)}"
        done = await self._sandbox.run(f"{code}\n\n{self._tests}\n\nprint({token!r})\n")
        self.isolation, note = done.isolation, isolation_line(done.isolation)
        if done.timed_out:
            return Verdict(
                passed=False, reason=f"the tests took longer than {self._sandbox.seconds:g} seconds", note=note
            )
        if done.ok and done.output.rstrip().endswith(token):
            return Verdict(passed=True, note=note)
        lines = (done.errors.strip() or done.output.strip()).splitlines()
        reason = lines[-1][:300] if lines else f"the code ended with exit code {done.exit_code}"
        return Verdict(passed=False, reason=reason, note=note)


def code_of(text: str) -> str:
    """The code of an answer: its last fenced block, else the whole of it."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1]) if blocks else text


class ValidatorSignal:
    """A user's own check. Free; a refusal is decisive, a pass has no measured weight."""

    def __init__(self, check: Validator) -> None:
        self._check = check
        self.name = f"validator {getattr(check, '__name__', type(check).__name__)!r}"

    async def read(self, draft: Draft) -> Reading | str:
        """`passed`, or decisively `refused`."""
        from deepthrift_router._evidence.draft import Reading

        try:
            judge = self._check.judge if isinstance(self._check, PassesTests) else self._check
            verdict = cast("object", judge(draft.reply))
            if inspect.isawaitable(verdict):
                verdict = await verdict
        except IsolationUnavailable as error:  # nothing was looked at, so nothing is refused
            return error.message
        except (ValueError, AssertionError) as error:
            return Reading("refused", detail=f"{type(error).__name__}: {error}", decisive=True)
        except Exception as error:
            return f"it raised {type(error).__name__}: {error}"
        if isinstance(verdict, Verdict):
            detail = "; ".join(filter(None, (verdict.reason, verdict.note)))
            return Reading("passed" if verdict.passed else "refused", detail=detail, decisive=not verdict.passed)
        if isinstance(verdict, str):
            return Reading("refused", detail=verdict, decisive=True)
        if isinstance(verdict, bool):
            return Reading("passed") if verdict else Reading("refused", decisive=True)
        return f"it returned {verdict!r} instead of a bool, a reason or a Verdict"
