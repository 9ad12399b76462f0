"""A request made smaller, where a budget asks for that rather than for waiting."""

from __future__ import annotations

from typing import Final

from deepthrift._call.prepare.passes import Passes, Step
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Attempt, AttemptRequest, Money, Policy, PriceBook

_FEWEST: Final = 16
"""Fewer tokens than this are not worth a call, unless it asked for no more."""


class Fit:
    """What a ledger may do to one request, by the policies of its budgets: lower `max_tokens`, or change the mode."""

    def __init__(self, passes: Passes, step: Step, profile: HostProfile, model: str, prices: PriceBook) -> None:
        self._passes = passes
        self._step = step
        self._profile = profile
        self._model = model
        self._prices = prices
        self._last: AttemptRequest | None = None

    def __call__(self, asked: AttemptRequest, room: Money, policy: Policy) -> AttemptRequest | None:
        """`asked` made smaller, or `None` when it cannot be."""
        if policy == "downgrade" and asked.mode == "thinking" and self._passes.can_change_mode(self._step):
            limit = self._profile.standard.max_tokens_limit
            tokens = asked.max_tokens if limit is None else min(asked.max_tokens, limit)
            model = self._profile.model_for("standard", self._model)
            self._last = self._with(
                asked.model_copy(update={"mode": "standard", "model": model, "max_tokens": tokens, "effort": None})
            )
            return self._last
        most = self._prices.affordable(
            room,
            host=asked.host,
            model=asked.model,
            mode=asked.mode,
            prompt_tokens=asked.prompt_tokens,
            at=asked.started_at,
            tier=asked.service_tier or "standard",
            requests=self._step.request.requests,
        )
        if most is None or most < min(_FEWEST, asked.max_tokens):
            return None
        self._last = self._with(asked.model_copy(update={"max_tokens": min(most, asked.max_tokens)}))
        return self._last

    def _with(self, asked: AttemptRequest) -> AttemptRequest:
        worst = self._prices.worst(
            host=asked.host,
            model=asked.model,
            mode=asked.mode,
            prompt_tokens=asked.prompt_tokens,
            max_tokens=asked.max_tokens,
            at=asked.started_at,
            currency=asked.worst.currency,
            tier=asked.service_tier or "standard",
            requests=self._step.request.requests,
        )
        return asked.model_copy(update={"worst": worst})

    def step_for(self, attempt: Attempt, asked: AttemptRequest) -> Step:
        """What to send for `attempt`: the request as it was, or the smaller one that was reserved."""
        last = self._last
        if last is None or (attempt.mode == asked.mode and attempt.reserved == asked.worst):
            return self._step
        return self._passes.smaller(self._step, last.mode, last.max_tokens)
