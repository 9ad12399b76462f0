"""The bookkeeping of one call: every attempt reserved before it is sent, and booked however it ends."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Final

from deepthrift._call.attempt.cost_of import cost_of, price_warnings, whole_cost
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.fit import Fit
from deepthrift._call.prepare.passes import Passes, Step
from deepthrift._types.errors import DeepthriftError, LedgerError, LedgerUnavailable, RequestInfo
from deepthrift._wire.request.service_tiers import STANDARD, served_tier
from deepthrift_pricing import (
    Attempt,
    AttemptRequest,
    Cost,
    Identity,
    Mode,
    Money,
    Purpose,
    Usage,
    new_id,
    utc_now,
)
from deepthrift_pricing.shared.bookings import UNKNOWN_IDENTITY, Booking, all_written, unsent_attempt

if TYPE_CHECKING:
    from deepthrift._wire.request.request import WireRequest
    from deepthrift.middleware import Request

_LOG: Final = logging.getLogger("deepthrift")
_LEAST_TO_WRITE: Final = 0.1
"""Seconds that a booking gets to reach the store before a call ends, even where its deadline is over."""


class Books:
    """Books the attempts of one call.

    `settle`, `release` and `hold` put their booking into the ledger's queue at once, so no cancellation can come
    between; `written` waits until it's in the store.
    """

    def __init__(
        self,
        core: Target,
        *,
        purpose: Purpose,
        group_id: str | None,
        tags: Mapping[str, str],
    ) -> None:
        self._core = core
        self._purpose: Purpose = purpose
        self._tags = tags
        self.call_id = new_id("call")
        self.group_id = group_id or self.call_id
        self.attempts: list[Attempt] = []
        self.warnings: list[str] = []
        self.cached = False
        """Whether a cache has answered."""
        self._unsent: dict[str, AttemptRequest] = {}
        self._bookings: list[Booking] = []

    def at(self, core: Target) -> Books:
        """The same books for attempts at another endpoint: with its name and its prices."""
        books = copy(self)
        books._core = core
        return books

    @property
    def ids(self) -> tuple[str, ...]:
        """The attempts so far, in order."""
        return tuple(attempt.id for attempt in self.attempts)

    @property
    def spend(self) -> Money | None:
        """What the attempts cost, or `None` when there were none."""
        if not self.attempts:
            return None
        return Money.sum((attempt.cost.total for attempt in self.attempts), self._core.currency)

    async def reserve(
        self, passes: Passes, step: Step, wait: float | None, left: float = math.inf
    ) -> tuple[Attempt, Step]:
        """Reserve the worst case of `step`, waiting up to `wait` seconds for room; the call has `left` seconds.

        Returns:
            The attempt, and what to send for it: `step`, or less of it where a budget's policy says so.

        Raises:
            PriceNotFound: There is no price for it.
            BudgetExceeded: It does not fit a budget.
            LedgerUnavailable: The ledger cannot be written in time.
        """
        request, core = step.request, self._core
        asked = self._asked(request.model, request.mode, step.prompt.tokens, request.max_tokens, request)
        fit = Fit(passes, step, core.profile, core.model, core.prices)
        attempt = await core.ledger.reserve(asked, timeout=wait, refit=fit, write_timeout=_to_write(core, left))
        self.attempts.append(attempt)
        return attempt, fit.step_for(attempt, asked)

    async def reserve_prompt(self, tokens: int, wait: float | None, left: float = math.inf) -> Attempt:
        """Reserve a request that generates nothing, such as one for embeddings. Errors are those of `reserve`."""
        asked = self._asked(self._core.model, "standard", tokens, 0)
        attempt = await self._core.ledger.reserve(asked, timeout=wait, write_timeout=_to_write(self._core, left))
        self.attempts.append(attempt)
        return attempt

    def draft(self, step: Step) -> tuple[AttemptRequest, Attempt]:
        """An attempt for which nothing is reserved, because somebody may have its answer already.

        Raises:
            PriceNotFound: There is no price for it.
        """
        request = step.request
        asked = self._asked(request.model, request.mode, step.prompt.tokens, request.max_tokens, request)
        return asked, unsent_attempt(asked)

    def take_unsent(self, asked: AttemptRequest, attempt: Attempt) -> None:
        """Make a draft one of the attempts: it is answered, and nothing will be sent for it."""
        self._unsent[attempt.id] = asked
        self.attempts.append(attempt)

    def _asked(
        self, model: str, mode: Mode, prompt_tokens: int, max_tokens: int, request: WireRequest | None = None
    ) -> AttemptRequest:
        core, started_at = self._core, utc_now()
        tier = None if request is None else request.service_tier
        return AttemptRequest(
            attempt_id=new_id("att"),
            call_id=self.call_id,
            group_id=self.group_id,
            purpose=self._purpose,
            host=core.profile.name,
            model=model,
            mode=mode,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            worst=core.prices.worst(
                host=core.profile.name,
                model=model,
                mode=mode,
                prompt_tokens=prompt_tokens,
                max_tokens=max_tokens,
                at=started_at,
                currency=core.currency,
                tier=tier or STANDARD,
                requests=None if request is None else request.requests,
            ),
            tags=self._tags,
            service_tier=tier,
            effort=None if request is None else request.effort,
            started_at=started_at,
        )

    def cost_of(self, attempt: Attempt, usage: Usage, mode: Mode | None = None) -> Cost:
        """The cost of `usage` at the prices of `attempt`'s time, in the mode that ran."""
        return cost_of(self._core, attempt, usage, mode or attempt.mode, ended_at=utc_now())

    def settle(
        self,
        attempt: Attempt,
        usage: Usage,
        *,
        mode: Mode | None = None,
        finish_reason: str | None = None,
        http_status: int | None = None,
        error: BaseException | None = None,
        identity: Identity = UNKNOWN_IDENTITY,
        service_tier: str | None = None,
    ) -> None:
        """Book what `attempt` used, at the price of the service tier that the host reports, if it does.

        Warns if another model or version than before has answered.
        """
        tier = served_tier(self._core.profile, service_tier)
        cost = cost_of(self._core, attempt, usage, mode or attempt.mode, ended_at=utc_now(), tier=tier)
        self.warnings += price_warnings(attempt, usage, cost, tier)
        if cost.total > attempt.reserved:
            self.warnings.append(
                f"the attempt cost {cost.total}, more than the {attempt.reserved} reserved, and is booked in full: the "
                "host generated or counted more tokens than max_tokens and the prompt allow"
            )
        if news := self._core.ledger.news_of(attempt, identity):
            self.warnings.append(f"{news}; what was measured before may not hold for it")
        ended_at = utc_now()
        try:
            booking = self._core.ledger.queued.settle(
                attempt,
                usage=usage,
                cost=cost,
                ended_at=ended_at,
                finish_reason=finish_reason,
                http_status=http_status,
                error=_name(error),
                identity=identity,
                service_tier=tier,
            )
        except LedgerError as failure:
            booked = attempt.model_copy(
                update={
                    "status": "settled",
                    "service_tier": tier or attempt.service_tier,
                    "usage": usage,
                    "cost": cost,
                    "ended_at": ended_at,
                    "finish_reason": finish_reason,
                    "http_status": http_status,
                    "error": _name(error),
                    "answered_model": identity.model,
                    "fingerprint": identity.fingerprint,
                }
            )
            self._not_written(booked, failure)
        else:
            booked = self._follow(booking)
        self._replace(booked)

    def exchange(self, attempt: Attempt, request: WireRequest, told: tuple[str, Mapping[str, str]]) -> Request:
        """`attempt` as the middleware sees it, given where it goes and its headers."""
        from deepthrift.middleware import Request

        return Request(
            url=told[0],
            headers=told[1],
            body=json.loads(request.body),
            host=attempt.host,
            model=attempt.model,
            mode=attempt.mode,
            stream=request.stream,
            attempt_id=attempt.id,
            call_id=attempt.call_id,
            group_id=attempt.group_id,
            purpose=attempt.purpose,
            tags=attempt.tags,
        )

    def release(
        self,
        attempt: Attempt,
        *,
        http_status: int | None = None,
        finish_reason: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Book that `attempt` is known not to be billed; with a `finish_reason`, because it was answered unsent."""
        ledger, unsent, ended_at = self._core.ledger, self._unsent.get(attempt.id), utc_now()
        how = {"finish_reason": finish_reason, "error": _name(error)}
        try:
            if unsent is not None:
                booking = ledger.queued.book_unsent(unsent, ended_at=ended_at, http_status=http_status, **how)
            else:
                booking = ledger.queued.release(attempt, ended_at=ended_at, http_status=http_status, **how)
        except LedgerError as failure:
            booked = attempt.model_copy(
                update={"status": "released", "cost": Cost.zero(self._core.currency), "http_status": http_status}
            )
            self._not_written(booked, failure)
        else:
            booked = self._follow(booking)
        self._replace(booked)

    def hold(self, attempt: Attempt, *, http_status: int | None = None, error: BaseException | None = None) -> None:
        """Book that nobody knows whether `attempt` is billed: it stays at its worst case."""
        try:
            booking = self._core.ledger.queued.hold_unknown(
                attempt, ended_at=utc_now(), http_status=http_status, error=_name(error)
            )
        except LedgerError as failure:
            booked = attempt.model_copy(
                update={
                    "status": "unknown",
                    "cost": whole_cost(attempt.reserved, "unknown"),
                    "http_status": http_status,
                }
            )
            self._not_written(booked, failure)
        else:
            booked = self._follow(booking)
        self._replace(booked)

    def _follow(self, booking: Booking) -> Attempt:
        self._bookings.append(booking)
        return booking.attempt

    async def written(self, left: float) -> None:
        """Wait until what was booked is in the store, or for the `left` seconds of the call; the reply warns of what
        isn't there yet. Cancelling the wait loses nothing.
        """
        bookings = self._bookings[:]
        self._bookings.clear()
        if not bookings:
            return
        seconds = min(max(left, _LEAST_TO_WRITE), self._core.ledger.lock_seconds)
        for booking, failure in await all_written(bookings, seconds):
            self._not_written(booking.attempt, failure)

    def _not_written(self, attempt: Attempt, failure: Exception) -> None:
        """Warn of a booking that isn't in the store."""
        what = f"attempt {attempt.id} could not be booked ({failure}); "
        if attempt.id in self._unsent:
            what += "it was answered without being sent, and cost nothing"
        elif isinstance(failure, LedgerUnavailable):
            what += "it is kept in memory and written as soon as the ledger can be"
        else:
            what += f"it stays reserved at its worst case of {attempt.reserved} until the ledger sweeps it"
        self.warnings.append(what)
        _LOG.error(what)

    def _replace(self, booked: Attempt) -> None:
        for place, held in enumerate(self.attempts):
            if held.id == booked.id:
                self.attempts[place] = booked

    def annotate(self, error: DeepthriftError, request: RequestInfo) -> DeepthriftError:
        """`error`, told what was asked for, and what was tried and spent."""
        error.request = error.request or request
        error.attempt_ids = self.ids
        error.spend = self.spend
        return error


def _to_write(core: Target, left: float) -> float | None:
    """Seconds that a reservation may take to be written: what the call has left, else as long as the store waits."""
    return left if 0 < left < math.inf else None  # a call with nothing left is ended by its deadline


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__
