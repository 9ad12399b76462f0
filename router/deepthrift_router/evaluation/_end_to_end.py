"""The real router, client, ledger and budgets over recorded answers, one question after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from deepthrift import AsyncClient
from deepthrift_router._reply import RoutedReply
from deepthrift_router._router import ModeRouter
from deepthrift_router.evaluation._outcomes import Outcome


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


def _right(outcome: Outcome, reply: RoutedReply) -> bool:
    if reply.path[-1] in ("escalate", "thinking"):
        return outcome.thinking_right
    sided = any(item.outcome == "with_second" for item in reply.decision.evidence)
    return outcome.sample_right(1 if sided else 0)
