"""Signals: what can be looked at once there is an answer, what it costs, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, cast

from deepthrift import Reply
from deepthrift_router._answers import Answer, parse_answer
from deepthrift_router._hedging import hedging_of

Validator: TypeAlias = Callable[[Reply], bool | str]
"""Your own check of an answer: `True` when it passes, else `False` or the reason as text. One that raises `ValueError`
or `AssertionError` refuses the answer, too; any other exception counts as no evidence."""

COMPLETE: Final = frozenset({"stop", "tool_calls", "function_call", "eos", "eos_token", "end_turn", "stop_sequence"})
"""Finish reasons of answers that came to their own end."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A reply with the answer that was parsed from it."""

    reply: Reply
    answer: Answer | None
    """`None` when it was cut off, is empty, or is open prose."""

    @classmethod
    def of(cls, reply: Reply, question: str) -> Draft:
        """Parses `reply`; one that was cut off has no answer, whatever it ends on."""
        usable = unusable(reply) is None and not reply.tool_calls
        return cls(reply, parse_answer(reply.text, question) if usable else None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal saw."""

    outcome: str
    detail: str = ""
    decisive: bool = False


class Signal(Protocol):
    """Something to look at once the first answer is there."""

    @property
    def name(self) -> str:
        """Its name in the decision and in the table of likelihoods."""
        ...

    def read(self, draft: Draft) -> Reading | str:
        """What it saw, or why it saw nothing."""
        ...


class FinishSignal:
    """Whether the answer came to its end, and whether there is one at all. Free and decisive."""

    name = "finish"

    def read(self, draft: Draft) -> Reading | str:
        """`complete`, or decisively not."""
        problem = unusable(draft.reply)
        if problem is None:
            return Reading("complete")
        return Reading(problem[0], detail=problem[1], decisive=True)


class HedgingSignal:
    """Whether the answer doubts itself or refuses. Free."""

    name = "hedging"

    def read(self, draft: Draft) -> Reading | str:
        """`plain`, `hedged` or `refused`."""
        return Reading(hedging_of(draft.reply.text))


class ValidatorSignal:
    """A user's own check. Free; a refusal is decisive, a pass has no measured weight."""

    def __init__(self, check: Validator) -> None:
        self._check = check
        self.name = f"validator {getattr(check, '__name__', type(check).__name__)!r}"

    def read(self, draft: Draft) -> Reading | str:
        """`passed`, or decisively `refused`."""
        try:
            verdict = cast("object", self._check(draft.reply))
        except (ValueError, AssertionError) as error:
            return Reading("refused", detail=f"{type(error).__name__}: {error}", decisive=True)
        except Exception as error:
            return f"it raised {type(error).__name__}: {error}"
        if isinstance(verdict, str):
            return Reading("refused", detail=verdict, decisive=True)
        if isinstance(verdict, bool):
            return Reading("passed") if verdict else Reading("refused", decisive=True)
        return f"it returned {verdict!r} instead of a bool or a reason"


def unusable(reply: Reply) -> tuple[str, str] | None:
    """Why `reply` cannot be accepted as an answer: an outcome and its description, or `None`."""
    if reply.finish_reason == "length":
        return "truncated", "the answer was cut off at max_tokens"
    if reply.finish_reason not in COMPLETE:
        return "interrupted", f"the answer ended with {reply.finish_reason!r}"
    if not reply.text.strip() and not reply.tool_calls:
        return "empty", "the answer is empty"
    return None


def free_signals(validators: Sequence[Validator]) -> list[Signal]:
    """The signals that cost nothing, in the order in which they are read."""
    return [FinishSignal(), *(ValidatorSignal(check) for check in validators), HedgingSignal()]
