"""What to buy next, or whether to stop: the step after an answer and all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepthrift.errors import DeepthriftError
from deepthrift_pricing import Money
from deepthrift_router._belief.evidence import OWN_CHECK, Evidence
from deepthrift_router._belief.verification import Verification
from deepthrift_router._calls.call_spec import CallSpec
from deepthrift_router._calls.calls import Calls
from deepthrift_router._decide.decide import Offer, Utilities, best_step
from deepthrift_router._decide.economy import Room
from deepthrift_router._decide.route_plan import RoutePlan, room_now
from deepthrift_router._decide.tiers import TierOffer
from deepthrift_router._evidence.evidence import Reader

if TYPE_CHECKING:
    from deepthrift_router._evidence.call_check import CallCheck

_AGREEING: Final = frozenset({"agreement", "cross_check", "program"})
_DOUBTS: Final = frozenset({"disagree", "no", "other", "no_answer", "first", "second", "against", "differ"})


@dataclass(slots=True)
class EvidencePolicy:
    """Chooses among accepting, escalating, a further sample, and the checks."""

    calls: Calls
    route_plan: RoutePlan
    seen: Verification
    reader: Reader
    checks: Sequence[CallCheck]
    spent: set[str]
    """Signals that were bought or tried, or have nothing to ask."""

    def room(self) -> Room | None:
        """What the budgets leave for thinking, now."""
        return room_now(self.calls.client, self.route_plan.request, "thinking")

    def values(self) -> tuple[Utilities, TierOffer | None, str | None]:
        """What is at stake now, what to escalate to, and why nothing is in reach if so."""
        drafts = self.reader.drafts
        return self.route_plan.values(
            spent=self.calls.spent,
            samples=len(drafts) or 1,
            room=self.room(),
            draft_tokens=drafts[0].reply.usage.completion_tokens if drafts else 0,
            left=self.calls.left,
            comparable=not drafts or drafts[0].answer is not None,
        )

    def way_up(self) -> TierOffer | None:
        """The tier to escalate to, by what is believed now."""
        comparable = self.reader.drafts[0].answer is not None
        room, left = self.room(), self.calls.left
        return self.route_plan.best_up(self.seen.belief, self.calls.spent, room, left, comparable=comparable)

    def gain_of(self, tier: TierOffer) -> float | None:
        """What `tier` adds to the chance of a right answer, where the tiers of a ladder differ in that."""
        climb = self.route_plan.climb
        if climb is None:
            return None
        belief = climb.standing(self.seen.belief).belief
        return belief.p(tier.place) - belief.p(0)

    def would_escalate(self, hedging: str) -> bool:
        """Whether an answer that is worded so would be escalated at once."""
        values, tier, _ = self.values()
        return tier is not None and best_step(self.seen.if_hedging(hedging), values, ())[0] == "escalate"

    def next_step(self, values: Utilities) -> str:
        """`accept`, `escalate`, `sample`, or the name of a check."""
        seen, most = self.seen, self.route_plan.preference.max_samples
        can_sample = values.can_sample and values.can_think and "sample" not in self.spent
        if self.route_plan.preference.threshold is not None:
            # The same evidence whatever it says, as on the labels: only then does the threshold mean what it promises.
            if can_sample and seen.prospects(most):
                return "sample"
            check = self._weighed() if values.can_think else None
            if check is not None:
                return check
            reached = seen.settled or seen.belief.gain >= self.route_plan.preference.threshold
            return "escalate" if values.can_think and reached else "accept"
        if self.route_plan.preference.policy == "cascade":
            return self._fixed_step(values, can_sample=can_sample)
        ahead = seen.prospects(most) if can_sample else ()
        offers = [Offer("sample", values.sample, ahead)] if ahead else []
        if values.can_think:
            offers += self._offers()
        return best_step(seen.belief, values, offers)[0]

    def _weighed(self) -> str | None:
        """The next check that has data, can be had and was not bought yet."""
        for check in self.checks:
            if check.name in self.spent or not self.seen.check_prospects(check.name, check.condition):
                continue
            if not isinstance(self._price(check), str):
                return check.name
        return None

    def _fixed_step(self, values: Utilities, *, can_sample: bool) -> str:
        """The cascade's: one second sample, every check that was asked for, and thinking unless all of them agree."""
        seen = self.seen
        if seen.settled or not values.can_think:
            return "escalate" if values.can_think else "accept"
        if can_sample and len(self.reader.drafts) == 1 and seen.prospects(2):
            return "sample"
        bought = {item.signal for item in seen.evidence}
        for check in self.checks:
            if check.name not in bought | self.spent and not isinstance(self._price(check), str):
                return check.name
        if self.reader.drafts[0].answer is None:
            return "accept"
        doubted = any(_doubts(item) for item in seen.evidence)
        agreed = seen.agreed or (bought & _AGREEING and "agreement" not in bought)
        return "accept" if agreed and not doubted else "escalate"

    def _offers(self) -> list[Offer]:
        """The checks that can be bought now, with their price and how they may come out."""
        bought = {item.signal for item in self.seen.evidence}
        found: list[Offer] = []
        for check in self.checks:
            if check.name in bought | self.spent:
                continue
            ahead = self.seen.check_prospects(check.name, check.condition)
            if not ahead:
                self.seen.missing.append(f"{check.name}: no recorded outcomes, so it has no weight and is not bought")
                self.spent.add(check.name)
                continue
            price = self._price(check)
            if not isinstance(price, str):
                found.append(Offer(check.name, price, ahead))
        return found

    def _price(self, check: CallCheck) -> float | str:
        """What a check is expected to cost, or why it cannot be had."""
        spec = self.ask(check)
        if isinstance(spec, str):
            self.seen.missing.append(f"{check.name}: {spec}")
            self.spent.add(check.name)
            return spec
        try:
            estimates = [
                (client or self.calls.client).estimate(
                    spec.messages, mode="standard", max_tokens=spec.max_tokens, **spec.options
                )
                for client in check.clients
            ]
        except DeepthriftError as error:
            self.seen.missing.append(f"{check.name}: {type(error).__name__}: {error}")
            self.spent.add(check.name)
            return str(error)
        tier, _ = self.route_plan.reach(self.calls.spent, self.room(), self.calls.left)
        worst = Money.sum((each.worst for each in estimates), estimates[0].worst.currency)
        if tier is not None:
            worst += tier.worst
        short = self.route_plan.short_of(worst, self.calls.spent, self.room())
        if short is not None:
            self.spent.add(check.name)
            self.seen.missing.append(f"{check.name}: {short}")
            return short
        return float(sum((each.likely or each.worst).pico for each in estimates))

    def ask(self, check: CallCheck) -> CallSpec | str:
        """The call that `check` needs, or why it has nothing to ask."""
        host = (check.clients[0] or self.calls.client).host
        logprobs = "logprobs" in host.rules("standard").features
        return check.ask(self.reader.drafts, self.route_plan.request, logprobs=logprobs)


def _doubts(item: Evidence) -> bool:
    """Whether a piece of evidence speaks against the answer, for the cascade."""
    if item.signal.startswith(OWN_CHECK):
        return (item.weight or 0.0) < 0
    return item.outcome in _DOUBTS and item.signal != "agreement"
