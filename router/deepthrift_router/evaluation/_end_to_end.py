"""The real router, client, ledger and budgets over recorded answers, one question after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from deepthrift import AsyncClient
from deepthrift_pricing import Money
from deepthrift_router._door.router import ModeRouter
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router.evaluation._judged import OfflineDecision, decide
from deepthrift_router.evaluation._outcomes import Outcome
from deepthrift_router.evaluation._recording import recordings_of


@dataclass(frozen=True, slots=True)
class Replayed:
    """One recorded outcome that was routed for real."""

    outcome: Outcome
    reply: RoutedReply
    right: bool
    """Whether the answer that came back is right, by the recorded grades."""


async def route_outcomes(
    router: ModeRouter[AsyncClient], outcomes: Iterable[Outcome], *, max_tokens: int = 32_768
) -> AsyncIterator[Replayed]:
    """Routes each outcome's question through `router`, tells it by `feedback` whether the answer was right.

    The router's client talks to a `ReplayServer` of the same outcomes. `router.audit()` then has the accuracy, and the
    client's ledger the cost.

    Raises:
        DeepthriftError: A question got no answer at all.
    """
    for outcome in outcomes:
        reply = await router.chat(outcome.conversation, max_tokens=max_tokens)
        right = _right(outcome, reply)
        router.feedback(reply, correct=right)
        yield Replayed(outcome, reply, right)


def decide_offline(
    router: ModeRouter[AsyncClient], outcome: Outcome, *, max_tokens: int = 32_768
) -> OfflineDecision | None:
    """What `router` would do with an outcome's question, from the recorded answers alone; nothing is sent or booked.

    `None` where it would not begin with a standard answer that it verifies.
    """
    route_plan, _ = router._planner.plan(outcome.conversation, max_tokens, {})  # pyright: ignore[reportPrivateUsage]
    if route_plan.plan != "cascade":
        return None
    first = recordings_of(outcome).standard[0]
    free = Money.zero(route_plan.value.currency)
    return decide(
        outcome,
        lambda samples: route_plan.values(spent=free, samples=samples, room=route_plan.room, draft_tokens=first.tokens)[
            0
        ],
        route_plan.score.belief,
        route_plan.score.weight,
        router._memory.likelihoods,  # pyright: ignore[reportPrivateUsage]
        max_samples=route_plan.preference.max_samples,
        threshold=route_plan.preference.threshold,
    )


def _right(outcome: Outcome, reply: RoutedReply) -> bool:
    if reply.path[-1] in ("escalate", "thinking"):
        return outcome.thinking_right
    sided = any(item.outcome == "with_second" for item in reply.decision.evidence)
    return outcome.sample_right(1 if sided else 0)
