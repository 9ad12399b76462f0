"""Recorded outcomes as the router would have seen them: the very code that a live answer goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from deepthrift_pricing import Money
from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Prior, Scorer
from deepthrift_router._belief.verification import HEDGING, Verification
from deepthrift_router._decide.decide import Offer, Utilities, best_step
from deepthrift_router.evaluation._outcomes import Outcome

Believe: TypeAlias = Callable[[Outcome], tuple[Belief, float]]
"""What is believed of a question before anything is sent, and the weight of the score in it."""
Tables: TypeAlias = Callable[[Outcome], Likelihoods]

MOST_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """One recorded outcome with what the router believes after each of its standard samples."""

    outcome: Outcome
    prior: Belief
    weight: float
    """How much of the question's own score was used, 0 to 1."""
    beliefs: tuple[Belief, ...]
    """After one sample, after two, after three, as far as they were recorded."""
    kept_right: tuple[bool, ...]
    """Whether the standard answer that is believed in then is right."""

    def after(self, samples: int) -> Belief:
        """The belief after so many samples, or after all that were recorded."""
        return self.beliefs[min(samples, len(self.beliefs)) - 1]

    def kept(self, samples: int) -> bool:
        """Whether the answer that stands after so many samples is right."""
        return self.kept_right[min(samples, len(self.kept_right)) - 1]


@dataclass(frozen=True, slots=True)
class OfflineDecision:
    """What the router would have done with one recorded outcome."""

    outcome: Outcome
    samples: int
    """Standard answers that were asked for."""
    escalated: bool
    right: bool
    """Whether the answer that was given is right."""
    chosen: int
    """Which of the samples was believed in, from 0."""
    belief: Belief

    @property
    def path(self) -> tuple[str, ...]:
        """The steps, as in `RoutedReply.path`."""
        return ("standard", *(["sample"] * (self.samples - 1)), *(["escalate"] if self.escalated else []))

    @property
    def confidence(self) -> float:
        """The probability that the given answer is right, as in `RoutedReply.confidence`."""
        return self.belief.p_thinking if self.escalated else self.belief.p_standard


def believe_with(scorer: Scorer | None = None) -> Believe:
    """Beliefs from a scorer; left out, from the shipped prior."""
    own = scorer or Prior.builtin()

    def believe(outcome: Outcome) -> tuple[Belief, float]:
        score = own.score(outcome.conversation)
        return score.belief, score.weight

    return believe


def judge(
    outcomes: Iterable[Outcome],
    believe: Believe | None = None,
    tables: Tables | None = None,
    *,
    checks: Sequence[str] = (),
) -> list[Judged]:
    """What the router believes of each graded outcome after each sample; rows without both grades are left out.

    Args:
        outcomes: Recorded outcomes.
        believe: What is believed of a question beforehand; left out, what the shipped prior says.
        tables: The likelihoods to use for an outcome; left out, the shipped ones.
        checks: Names of other models whose recorded answers are looked at as cross-checks, before any further sample.
    """
    before = believe or believe_with()
    return [
        _judged(each, *before(each), tables(each) if tables is not None else Likelihoods.builtin(), checks)
        for each in outcomes
        if each.graded
    ]


def _judged(outcome: Outcome, prior: Belief, weight: float, tables: Likelihoods, checks: Sequence[str]) -> Judged:
    seen = begin(outcome, prior, weight, tables)
    if checks and not seen.settled:
        seen.cross_check(outcome.other_answers(checks), Money.zero())
    beliefs, kept = [seen.belief], [outcome.sample_right(0)]
    for number in range(1, min(MOST_SAMPLES, len(outcome.samples))):
        add_sample(seen, outcome, number)
        beliefs.append(seen.belief)
        kept.append(outcome.sample_right(seen.chosen))
    return Judged(outcome, prior, weight, tuple(beliefs), tuple(kept))


def begin(outcome: Outcome, prior: Belief, weight: float, tables: Likelihoods) -> Verification:
    """The verification once the first recorded answer is there."""
    free, first = Money.zero(), outcome.samples[0]
    seen = Verification(prior, weight, tables)
    if outcome.standard_finish == "length":
        seen.observe("finish", "truncated", free, decisive=True)
    elif first is None and not (outcome.standard_answer or "").strip():
        seen.observe("finish", "empty", free, decisive=True)
    elif first is None and outcome.standard_extra.sample_finals is not None:
        # It was recorded that nothing could be parsed out of a marked answer.
        seen.observe("finish", "empty", free, decisive=True)
    else:
        if outcome.standard_answer is not None:
            seen.observe(HEDGING, hedging_of(outcome.standard_answer), free)
        seen.start(first, free)
    return seen


def add_sample(seen: Verification, outcome: Outcome, number: int) -> None:
    """A further recorded sample, from 1."""
    if seen.settled:
        return
    answer = outcome.samples[number]
    problem = None if answer is not None or outcome.standard_extra.sample_finals is None else "no answer"
    seen.sample(answer, Money.zero(), problem=problem)


def decide(
    outcome: Outcome,
    values: Callable[[int], Utilities],
    prior: Belief,
    weight: float,
    tables: Likelihoods,
    *,
    max_samples: int = MOST_SAMPLES,
    threshold: float | None = None,
) -> OfflineDecision:
    """What the router does with one recorded outcome, step by step, by its own decision function.

    Args:
        outcome: The recorded outcome.
        values: The utilities of the next steps after so many standard answers.
        prior: What is believed beforehand.
        weight: The weight of the score in it.
        tables: The likelihoods of the signals.
        max_samples: The most standard answers.
        threshold: A gain from which it is escalated, on all samples, in place of the highest expected utility.
    """
    seen, answers = begin(outcome, prior, weight, tables), 1
    most = min(max_samples, len(outcome.samples))
    while True:
        utilities = values(answers)
        ahead = seen.prospects(most) if utilities.can_sample and utilities.can_think else ()
        if threshold is not None:
            reached = utilities.can_think and (seen.settled or seen.belief.gain >= threshold)
            step = "sample" if ahead else "escalate" if reached else "accept"
        else:
            offers = [Offer("sample", utilities.sample, ahead)] if ahead else []
            step, _ = best_step(seen.belief, utilities, offers)
        if step == "sample":
            add_sample(seen, outcome, answers)
            answers += 1
            continue
        escalated = step == "escalate"
        right = outcome.thinking_right if escalated else outcome.sample_right(seen.chosen)
        return OfflineDecision(outcome, answers, escalated, right, seen.chosen, seen.belief)
