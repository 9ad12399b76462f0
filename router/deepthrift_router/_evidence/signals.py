"""Signals: what can be looked at once there is an answer, what it costs, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._answers.tokens import logprob_outcome
from deepthrift_router._evidence.draft import Draft, Reading, unusable
from deepthrift_router._evidence.validators import Validator, ValidatorSignal


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


def free_signals(validators: Sequence[Validator], *, logprobs: bool = False) -> list[Signal]:
    """The signals that cost nothing, in the order in which they are read."""
    signals: list[Signal] = [FinishSignal(), *(ValidatorSignal(check) for check in validators), HedgingSignal()]
    return [*signals, LogprobSignal()] if logprobs else signals
