"""What the answers say: a belief that moves with each signal, and the answer that is believed in most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from deepthrift_pricing import Money
from deepthrift_router._answers.answers import Answer, same_answer
from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.evidence import OWN_CHECK, Evidence
from deepthrift_router._belief.likelihoods import Likelihoods

AGREEMENT: Final = "agreement"
THIRD: Final = "third_sample"
EXTENT: Final = "extent"
HEDGING: Final = "hedging"
_EXTENTS: Final = ((2, "1-2"), (4, "3-4"), (8, "5-8"), (16, "9-16"), (40, "17-40"), (120, "41-120"))
CLOSED: Final = "closed"
CROSS_CHECK: Final = "cross_check"
_STATES: Final = {"agree": "agreed", "disagree": "split", "no_answer": "unanswered"}
"""How the first two samples stand, by the outcome of the second."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """One way in which a further sample may come out."""

    chance: float
    after: Belief
    further: tuple[Prospect, ...] = ()
    """How one more sample may come out after that."""


def extent_of(answer: Answer) -> str:
    """How long an answer is, in characters of its normal form; `closed` when it was one of a few given ones."""
    if answer.kind in ("boolean", "choice"):
        return CLOSED
    return next((name for most, name in _EXTENTS if len(answer.form) <= most), "121-")


class Verification:
    """The belief about one question while its answers come in.

    The belief is about the chosen answer: the first one, until a third sample sides with the second against it.
    """

    def __init__(self, belief: Belief, familiarity: float, likelihoods: Likelihoods) -> None:
        self.belief = belief
        self.evidence: list[Evidence] = []
        self.missing: list[str] = []
        self.answers: list[Answer | None] = []
        self.chosen = 0
        """Which of the samples is the answer, from 0."""
        self._familiarity = familiarity
        self._likelihoods = likelihoods
        self._incomparable = False

    @property
    def settled(self) -> bool:
        """Whether something decisive was seen: there is no answer, or a validator refused it."""
        return any(item.decisive for item in self.evidence)

    @property
    def agreed(self) -> bool:
        """Whether another sample gives the chosen answer."""
        agreeing = ("agree", "with_first", "with_second")
        return any(item.outcome in agreeing and not item.signal.startswith(OWN_CHECK) for item in self.evidence)

    def observe(
        self,
        signal: str,
        outcome: str,
        cost: Money,
        *,
        condition: str = "any",
        detail: str = "",
        decisive: bool = False,
        matter_of_course: bool = False,
        stated: tuple[float, float] | None = None,
    ) -> None:
        """Moves the belief by one reading and records it.

        `stated` is how often the outcome comes when the standard answer is right and when it's wrong, for signals that
        nothing was measured of.
        """
        before, weight = self.belief, None
        if decisive:
            self.belief = before.without_standard()
        else:
            table = self._likelihoods.table(signal, condition, self._familiarity)
            if table is not None and outcome in table:
                self.belief = before.given(table[outcome], self._likelihoods.temper(signal, self._familiarity))
                weight = _log_odds(self.belief.p_standard) - _log_odds(before.p_standard)
            elif stated is not None:
                right, wrong = stated
                self.belief = before.given((right, right, wrong, wrong))
                weight = _log_odds(self.belief.p_standard) - _log_odds(before.p_standard)
            elif not matter_of_course:
                self.missing.append(f"{signal}: no recorded outcomes, so it has no weight")
        self.evidence.append(
            Evidence(
                signal=signal,
                outcome=outcome,
                condition=condition,
                detail=detail,
                weight=weight,
                decisive=decisive,
                cost=cost,
                p_standard=self.belief.p_standard,
            )
        )

    def start(self, answer: Answer | None, free: Money) -> None:
        """The first answer: how long it is says how hard it was, unless it was one of a few given ones."""
        self.answers.append(answer)
        if answer is not None and (extent := extent_of(answer)) != CLOSED:
            self.observe(EXTENT, extent, free, detail=f"the answer is {_short(answer.form)}")

    def sample(self, answer: Answer | None, cost: Money, *, problem: str | None = None) -> None:
        """A further sample; `problem` says why it has no answer, where it was cut off or is empty."""
        first = self.answers[0]
        self.answers.append(answer)
        if first is None or (answer is None and problem is None):
            self._incomparable = True
            self.missing.append(f"{AGREEMENT}: a sample is open text, which cannot be compared")
            return
        if len(self.answers) == 2:
            outcome = "no_answer" if answer is None else "agree" if same_answer(first, answer) else "disagree"
            detail = problem or _compared(first, answer)
            self.observe(AGREEMENT, outcome, cost, condition=extent_of(first), detail=detail)
            return
        second, condition = self.answers[1], self._condition()
        outcome = _third_outcome(first, second, answer)
        self.observe(THIRD, outcome, cost, condition=condition, detail=problem or _compared(first, answer))
        if outcome == "with_second":
            self._choose_second()

    def cross_check(self, answers: Sequence[Answer | None], cost: Money) -> None:
        """What one or two other models answered to the same question, looked at together."""
        first = self.answers[0]
        if first is None or not answers:
            return
        self.observe(CROSS_CHECK, check_outcome(first, answers), cost, condition=f"of {min(2, len(answers))}")

    def _choose_second(self) -> None:
        """Two of three samples agree, and the first is not one of them: from here on, the second is the answer."""
        before = self.belief
        self.belief = before.moved(self._likelihoods.switch)
        self.chosen = 1
        last = self.evidence[-1]
        moved = _log_odds(self.belief.p_standard) - _log_odds(before.p_standard)
        self.evidence[-1] = last.model_copy(
            update={"weight": (last.weight or 0.0) + moved, "p_standard": self.belief.p_standard}
        )

    def prospects(self, samples: int) -> tuple[Prospect, ...]:
        """How further samples may come out, up to `samples` answers in all; empty when nothing is known of that."""
        asked = len(self.answers)
        if not asked or self.answers[0] is None or asked >= min(samples, 3):
            return ()
        if self.settled or self._incomparable:
            return ()
        if asked == 2:
            return _third_prospects(self.belief, self._condition(), self._likelihoods, self._familiarity)
        condition = extent_of(self.answers[0])
        return second_prospects(self.belief, condition, self._likelihoods, self._familiarity, samples)

    def check_prospects(self, signal: str, condition: str | None = None) -> tuple[Prospect, ...]:
        """How a check may come out; empty when there is no data on it, or nothing to check."""
        if self.settled or not self.answers or self.answers[0] is None or self.chosen:
            return ()
        table = self._likelihoods.table(signal, condition or extent_of(self.answers[0]), self._familiarity)
        temper = self._likelihoods.temper(signal, self._familiarity)
        return _shared_out(
            [
                Prospect(self.belief.chance(chances), self.belief.given(chances, temper))
                for chances in (table or {}).values()
            ]
        )

    def if_hedging(self, outcome: str) -> Belief:
        """The belief if the answer turned out so worded."""
        table = self._likelihoods.table(HEDGING, "any", self._familiarity)
        if table is None or outcome not in table:
            return self.belief
        return self.belief.given(table[outcome], self._likelihoods.temper(HEDGING, self._familiarity))

    def _condition(self) -> str:
        first, second = self.answers[0], self.answers[1]
        if second is None:
            return "unanswered"
        return "agreed" if first is not None and same_answer(first, second) else "split"


def check_outcome(first: Answer, others: Sequence[Answer | None]) -> str:
    """How the answers of one or two other models stand to the first answer.

    Of one: `agree`, `disagree` or `no_answer`. Of two: `both` agree with it, `first` or `second` does, they are
    `against` it with one answer, or all `differ`.
    """
    agree = [other is not None and same_answer(first, other) for other in others[:2]]
    if len(agree) == 1:
        return "no_answer" if others[0] is None else "agree" if agree[0] else "disagree"
    if any(agree):
        return "both" if all(agree) else "first" if agree[0] else "second"
    one, other = others[0], others[1]
    return "against" if one is not None and other is not None and same_answer(one, other) else "differ"


def second_prospects(
    belief: Belief, condition: str, likelihoods: Likelihoods, familiarity: float, samples: int
) -> tuple[Prospect, ...]:
    """How a second sample may come out, and a third after it where `samples` allows one."""
    temper = likelihoods.temper(AGREEMENT, familiarity)
    found: list[Prospect] = []
    for outcome, chances in (likelihoods.table(AGREEMENT, condition, familiarity) or {}).items():
        after = belief.given(chances, temper)
        further: tuple[Prospect, ...] = ()
        if samples > 2:
            further = _third_prospects(after, _STATES.get(outcome, "split"), likelihoods, familiarity)
        found.append(Prospect(belief.chance(chances), after, further))
    return _shared_out(found)


def _third_prospects(belief: Belief, state: str, likelihoods: Likelihoods, familiarity: float) -> tuple[Prospect, ...]:
    temper = likelihoods.temper(THIRD, familiarity)
    found: list[Prospect] = []
    for outcome, chances in (likelihoods.table(THIRD, state, familiarity) or {}).items():
        after = belief.given(chances, temper)
        if outcome == "with_second":
            after = after.moved(likelihoods.switch)
        found.append(Prospect(belief.chance(chances), after))
    return _shared_out(found)


def _shared_out(prospects: Sequence[Prospect]) -> tuple[Prospect, ...]:
    """The same prospects with chances that add up to 1."""
    total = sum(each.chance for each in prospects)
    return tuple(Prospect(each.chance / total, each.after, each.further) for each in prospects) if total else ()


def _third_outcome(first: Answer, second: Answer | None, third: Answer | None) -> str:
    if third is None:
        return "no_answer"
    with_first = same_answer(first, third)
    if second is not None and same_answer(first, second):
        return "agree" if with_first else "disagree"
    if with_first:
        return "with_first"
    return "with_second" if second is not None and same_answer(second, third) else "with_neither"


def _compared(first: Answer, other: Answer | None) -> str:
    return "" if other is None else f"{_short(first.form)} and {_short(other.form)}"


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return log(inside / (1 - inside))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")


def replay(
    belief: Belief, familiarity: float, likelihoods: Likelihoods, text: str, answers: Sequence[Answer | None]
) -> Verification:
    """The verification of recorded samples, the very one that a live call goes through."""
    free = Money.zero()
    verification = Verification(belief, familiarity, likelihoods)
    if answers[0] is None:
        verification.observe("finish", "empty", free, decisive=True)
        return verification
    verification.observe(HEDGING, hedging_of(text), free)
    verification.start(answers[0], free)
    for answer in answers[1:]:
        verification.sample(answer, free, problem=None if answer is not None else "no answer")
    return verification
