"""Signals: what can be looked at once there is an answer, what it costs, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from deepthrift import Reply
from deepthrift_router._answers.answers import Answer, parse_answer
from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._answers.tokens import logprob_outcome
from deepthrift_router._evidence.validators import Validator, ValidatorSignal

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

    async def read(self, draft: Draft) -> Reading | str:
        """What it saw, or why it saw nothing."""
        ...


class FinishSignal:
    """Whether the answer came to its end, and whether there is one at all. Free and decisive."""

    name = "finish"

    async def read(self, draft: Draft) -> Reading | str:
        """`complete`, or decisively not."""
        problem = unusable(draft.reply)
        if problem is None:
            return Reading("complete")
        return Reading(problem[0], detail=problem[1], decisive=True)


class LogprobSignal:
    """How sure the model was of its least sure tokens, where the request asked for log-probabilities. Free.

    Without weight until `calibrate` has seen log-probabilities with their outcomes.
    """

    name = "logprobs"

    async def read(self, draft: Draft) -> Reading | str:
        """The span in which the tenth percentile of the tokens' log-probabilities lies."""
        outcome = logprob_outcome(draft.reply.logprobs or ())
        return "none came with the answer; logprobs=True asks for them" if outcome is None else Reading(outcome)


class HedgingSignal:
    """Whether the answer doubts itself or refuses. Free."""

    name = "hedging"

    async def read(self, draft: Draft) -> Reading | str:
        """`plain`, `hedged` or `refused`."""
        return Reading(hedging_of(draft.reply.text))


def unusable(reply: Reply) -> tuple[str, str] | None:
    """Why `reply` cannot be accepted as an answer: an outcome and its description, or `None`."""
    if reply.finish_reason == "length":
        return "truncated", "the answer was cut off at max_tokens"
    if reply.finish_reason not in COMPLETE:
        return "interrupted", f"the answer ended with {reply.finish_reason!r}"
    if not reply.text.strip() and not reply.tool_calls:
        return "empty", "the answer is empty"
    return None


def free_signals(validators: Sequence[Validator], *, logprobs: bool = False) -> list[Signal]:
    """The signals that cost nothing, in the order in which they are read."""
    signals: list[Signal] = [FinishSignal(), *(ValidatorSignal(check) for check in validators), HedgingSignal()]
    return [*signals, LogprobSignal()] if logprobs else signals
