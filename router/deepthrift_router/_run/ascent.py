"""Going up a ladder: call a tier, compare its answer with those that are there, and stop or call a higher one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from typing import Final

from deepthrift import Reply
from deepthrift_router._answers.answers import Answer, same_answer
from deepthrift_router._belief.evidence import TIER, Evidence
from deepthrift_router._belief.ladder import SAMPLE, Group
from deepthrift_router._decide.climb import Climb
from deepthrift_router._decide.tiers import TierOffer
from deepthrift_router._evidence.draft import Draft, unusable
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router._run.steps import Steps

BASE: Final = 0


@dataclass(frozen=True, slots=True)
class _Given:
    """An answer that a tier gave."""

    name: str
    reply: Reply
    answer: Answer | None


class Ascent:
    """The way up from the first answer of one question."""

    def __init__(self, steps: Steps, climb: Climb) -> None:
        self._steps = steps
        self._climb = climb
        self._given: dict[int, _Given] = {}
        self._tried: set[int] = set()
        self._useless = False
        self._standing = climb.standing(steps.seen.belief)

    async def up(self, tier: TierOffer) -> RoutedReply:
        """The answer, where the lowest tier's was not accepted and `tier` is called next."""
        steps, seen = self._steps, self._steps.seen
        draft = steps.chosen
        self._useless = unusable(draft.reply) is not None or seen.settled
        self._given[BASE] = _Given(steps.route_plan.base.name, draft.reply, draft.answer)
        # What is of no use is no group: nothing is compared with it, and it is never the best answer.
        groups: tuple[Group, ...] = () if self._useless else self._samples()
        self._standing = self._climb.standing(seen.belief, groups)
        if draft.answer is None:
            self._climb = replace(self._climb, comparable=False)
        await self._on(tier)
        return self._finish()

    async def after(self, tier: TierOffer, reply: Reply, problem: str | None) -> RoutedReply | None:
        """The answer, where `tier` was called first; `None` where it gave none and nothing above it did."""
        self._useless = True
        self._standing = self._climb.standing(self._steps.seen.belief)
        self._read(tier, reply, problem)
        following = self._next()
        if following is None:
            return None if problem is not None else self._finish()
        await self._on(following)
        return None if self._standing.best is None else self._finish()

    async def _on(self, tier: TierOffer | None) -> None:
        """Calls `tier` and what follows it."""
        steps = self._steps
        while tier is not None:
            steps.withdraw(tier.name, steps.trace.why)
            best = self._best
            hint = None if best is None or (best is self._given.get(BASE) and self._useless) else best.reply.text
            reply = await steps.send_up_or_none(tier, hint)
            self._tried.add(tier.place)
            if reply is not None:
                steps.trace.path += ["escalate", tier.name]
                self._read(tier, reply, await steps.reader.refused(reply))
            tier = self._next()

    def _samples(self) -> tuple[Group, ...]:
        """The samples of the lowest tier: alone, or with another one that says something else."""
        drafts, chosen = self._steps.reader.drafts, self._steps.chosen
        others = [each.answer for each in drafts if each is not chosen and each.answer is not None]
        if chosen.answer is None or not others:
            return ((BASE,),)
        differing = [each for each in others if not same_answer(chosen.answer, each)]
        return ((BASE,), (SAMPLE,)) if differing else ((BASE, SAMPLE),)

    def _read(self, tier: TierOffer, reply: Reply, problem: str | None) -> None:
        """What the answer of `tier` says of itself and of those before it."""
        steps, place = self._steps, tier.place
        self._tried.add(place)
        if problem is None and reply.mode != tier.mode:
            problem = f"{tier.mode} was asked for, but the endpoint ran {reply.mode} mode"
        if problem is not None:
            steps.trace.degraded.append(f"{tier.name}: {problem}")
            self._standing = replace(self._standing, belief=self._standing.belief.without(place))
            self._given.setdefault(place, _Given(tier.name, reply, None))
            return
        answer = Draft.of(reply, steps.request.question).answer
        joined = self._place_of(answer) if self._climb.comparable else None
        if answer is None:
            self._climb = replace(self._climb, comparable=False)
        before = self._standing.belief.p(BASE)
        self._given[place] = _Given(tier.name, reply, answer)
        self._standing = self._climb.answered(self._standing, place, joined)
        if joined is not None:
            self._note(tier, reply, joined, before)

    def _place_of(self, answer: Answer | None) -> int | None:
        """Which group of answers `answer` belongs to, the number after the last for none of them."""
        if answer is None:
            return None
        groups = self._standing.groups
        for place, group in enumerate(groups):
            for member in group:
                others = self._sampled() if member == SAMPLE else [self._given[member].answer]
                if any(other is not None and same_answer(other, answer) for other in others):
                    return place
        return len(groups)

    def _sampled(self) -> list[Answer | None]:
        chosen = self._steps.chosen
        return [each.answer for each in self._steps.reader.drafts if each is not chosen]

    def _note(self, tier: TierOffer, reply: Reply, joined: int, before: float) -> None:
        """Records what comparing the answer of `tier` with the others said."""
        group = self._standing.groups[joined]
        others = [self._steps.route_plan.base.name if each == SAMPLE else self._given[each].name for each in group]
        agrees = [name for name in dict.fromkeys(others) if name != tier.name]
        if not agrees and len(self._standing.groups) == 1:
            return  # there was nothing to compare it with
        seen = self._steps.seen
        p_standard = self._standing.belief.p(BASE)
        seen.evidence.append(
            Evidence(
                signal=f"{TIER}{tier.name}",
                outcome="agree" if agrees else "differ",
                detail=f"as {' and '.join(agrees)}" if agrees else "no earlier tier says the same",
                weight=_log_odds(p_standard) - _log_odds(before),
                cost=reply.cost.total,
                p_standard=p_standard,
            )
        )

    def _next(self) -> TierOffer | None:
        """The tier to call next, or `None` to stop."""
        steps, plan = self._steps, self._steps.route_plan
        calls = [
            call
            for call in plan.calls(
                steps.calls.spent, steps.policy.room(), steps.calls.left, above=max(self._tried, default=BASE)
            )
            if call.tier not in self._tried
        ]
        if not calls:
            return None
        best = self._standing.best
        if best is None:
            # No answer is of use yet, so the next one is called whatever it costs.
            call, _ = self._climb.next_call(self._standing, calls)
            call = call or calls[0]
        elif steps.preference.threshold is not None:
            return None
        elif steps.preference.policy == "cascade":
            agreed = any(len(group) > 1 and best in group for group in self._standing.groups)
            call = None if agreed else calls[0]
        else:
            call, _ = self._climb.next_call(self._standing, calls)
        if call is None:
            return None
        tier = plan.at(call.tier)
        right = "no answer so far is of use"
        if best is not None:
            right = f"the best answer so far is right with a probability of {self._standing.right:.2f}"
        steps.trace.why = f"escalated to {tier.name}: {right}"
        return tier

    @property
    def _best(self) -> _Given | None:
        best = self._standing.best
        return self._given.get(BASE) if best is None else self._given[best]

    def _finish(self) -> RoutedReply:
        steps, best = self._steps, self._standing.best
        steps.trace.chances = self._standing.belief
        base = steps.route_plan.base.name
        if best is None:
            # Nothing is of use: of what there is, the one that says something.
            said = [each for each in self._given.values() if each.reply.text.strip()]
            kept = said[-1] if said else self._given[max(self._given)]
        else:
            kept = self._given[best]
        if kept.name != base:
            steps.trace.answered = kept.name
            steps.trace.given = None if kept.name == steps.route_plan.last else kept.reply
        if steps.trace.path[-1] != kept.name and any(place != BASE for place in self._given):
            steps.trace.path.append(f"kept {kept.name}")
        steps.say_unusable(kept.reply)
        if best is None:
            return steps.finish(kept.reply, 0.0)
        steps.trace.why = f"{steps.trace.why}; the answer is that of {kept.name}" if steps.trace.why else ""
        return steps.finish(kept.reply, self._standing.right)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return log(inside / (1 - inside))
