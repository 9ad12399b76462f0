"""From a question and the user's preferences to the plan of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from deepthrift import AsyncClient, Messages
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import new_id
from deepthrift_router._belief.prior import Scorer
from deepthrift_router._calls.request import Request
from deepthrift_router._decide.history import History
from deepthrift_router._decide.preferences import Preferences, RouteOptions, by_tags, money, split_options
from deepthrift_router._decide.route_plan import Preference, RoutePlan, look_out
from deepthrift_router._door.tiers import Tiers
from deepthrift_router._evidence.validators import Validator
from deepthrift_router._learn.memory import Memory
from deepthrift_router._record.changes import Changes

if TYPE_CHECKING:
    from deepthrift.shared.structured import Target


@dataclass(slots=True)
class Planner:
    """Plans the answers of one router."""

    client: AsyncClient
    """The router's own, whose currency and tags hold."""
    tiers: Callable[[], Tiers]
    """The router's tiers, read with each plan: a local client has no host before it is entered."""
    preferences: Preferences
    by_tag: Mapping[str, Preferences]
    max_samples: int
    scorer: Scorer
    memory: Memory
    history: History = field(default_factory=History)
    changes: Changes = field(default_factory=Changes)

    def plan(
        self, messages: Messages, max_tokens: int | None, given: RouteOptions, target: Target[object] | None = None
    ) -> tuple[RoutePlan, Sequence[Validator]]:
        """What is believed, what each step would cost, the plan that follows, and the call's own validators.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
            NotEnoughLabels: There are too few labels for `max_quality_loss`.
        """
        options, own, validators = split_options(given)
        tags = {**self.client.tags, **(options.get("tags") or {})}
        tiers = self.tiers()
        preference = self._preference(tiers, own.over(by_tags(self.by_tag, tags, self.preferences)))
        group_id = options.pop("group_id", None) or new_id("group")
        request = Request(messages, max_tokens, options, group_id, target)
        likelihoods = self.memory.likelihoods
        route_plan = look_out(
            tiers.all[0], tiers.all[1:], request, preference, self.scorer, likelihoods, tiers.ladder, self.history
        )
        return route_plan, validators

    def _preference(self, tiers: Tiers, wanted: Preferences) -> Preference:
        policy = wanted.policy or "auto"
        if policy == "specialist" and all(tier.name != "specialist" for tier in tiers.all):
            raise ConfigurationError("the policy 'specialist' needs a router with specialist=…")
        currency = self.client.currency
        fixed = policy in ("standard", "thinking", "specialist")
        change = self.changes.latest(tiers.all[0].client)
        threshold = None if fixed else self.memory.threshold(wanted, change)
        shared = threshold is not None and wanted.target_share is not None
        return Preference(
            policy=policy,
            value=money(wanted.value_of_right_answer, currency),
            max_cost=money(wanted.max_cost, currency),
            max_samples=self.max_samples,
            value_of_second=money(wanted.value_of_second, currency),
            deadline=wanted.deadline,
            draft_as_hint=bool(wanted.draft_as_hint),
            race=bool(wanted.race),
            threshold=None if threshold is None else threshold.gain,
            promise="" if threshold is None else threshold.promise,
            change=change,
            suspended=tuple(self.memory.suspensions(change, threshold)),
            share=self.memory.share(cast("float", wanted.target_share)) if shared else None,
        )
