"""The calls of one routed answer: sent, booked together, and ended when the answer is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from deepthrift import ChatOptions, Finished, Reply, StreamEvent, TextDelta
from deepthrift.errors import DeadlineExceeded, DeepthriftError
from deepthrift.shared import calls
from deepthrift_pricing import Attempt, Cost, Currency, Money, Usage
from deepthrift_router._calls.budget_status import refresh_statuses
from deepthrift_router._calls.call_spec import CallSpec

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_router._calls.request import Request

Tell: TypeAlias = Callable[[StreamEvent], None]
"""Hears of each event of a streamed call."""
Watch: TypeAlias = Callable[[str], bool]
"""Reads a streamed answer as far as it has come; true ends it."""


class Calls:
    """Makes the calls of one answer and adds up what they cost. Nothing is held in between them.

    Every await is a call of a client, which books whatever happens, also when it is cancelled.
    """

    def __init__(self, client: AsyncClient, request: Request, currency: Currency, deadline: float | None) -> None:
        self.client = client
        self._request = request
        self._currency: Currency = currency
        self.attempts: list[Attempt] = []
        self.replies: list[Reply] = []
        self.started = time.monotonic()
        self._end = None if deadline is None else self.started + deadline

    @property
    def spent(self) -> Money:
        """What all calls cost so far, as far as is known."""
        return Money.sum((attempt.cost.total for attempt in self.attempts), self._currency)

    @property
    def cost(self) -> Cost:
        """The same in its parts."""
        return Cost.sum((attempt.cost for attempt in self.attempts), self._currency)

    @property
    def usage(self) -> Usage:
        """The tokens of all calls."""
        return Usage.sum(attempt.usage for attempt in self.attempts)

    @property
    def seconds(self) -> float:
        """Since the first call."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float | None:
        """Seconds until the deadline of the answer, or `None` without one."""
        return None if self._end is None else self._end - time.monotonic()

    async def send(
        self, spec: CallSpec, *, client: AsyncClient | None = None, tell: Tell | None = None, watch: Watch | None = None
    ) -> Reply:
        """One call; with `tell` or `watch` it is streamed. Cut by `watch`, it is the reply as far as it came.

        Raises:
            DeepthriftError: The call failed; its attempts are among those of the answer all the same.
        """
        to = client or self.client
        options = spec.options.copy()
        options["group_id"] = self._request.group_id
        options["purpose"] = spec.purpose
        if self.left is not None:
            if self.left <= 0:
                raise DeadlineExceeded("the deadline of the routed answer is over; raise deadline, or ask for less")
            options["deadline"] = self.left
        try:
            if tell is None and watch is None:
                prepared = self._request.prepared
                reply = await calls.answer(to, spec.messages, spec.mode, spec.max_tokens, options, prepared)
            else:
                reply = await self._streamed(to, spec, options, tell, watch)
        except DeepthriftError as error:
            self.attempts += await _booked(to, error.attempt_ids)
            await refresh_statuses(self.client.ledger, to.ledger)
            raise
        await refresh_statuses(self.client.ledger, to.ledger)
        self.attempts += reply.attempts
        self.replies.append(reply)
        return reply

    async def reconcile(self, *clients: AsyncClient) -> None:
        """Take in what the ledgers know of this answer beside its replies: calls that were cancelled."""
        known = {attempt.id for attempt in self.attempts}
        for ledger in {id(client.ledger): client.ledger for client in clients}.values():
            for attempt in await ledger.in_thread(partial(ledger.attempts, group_id=self._request.group_id)):
                if attempt.id not in known and attempt.status != "reserved":
                    known.add(attempt.id)
                    self.attempts.append(attempt)

    async def _streamed(
        self, to: AsyncClient, spec: CallSpec, options: ChatOptions, tell: Tell | None, watch: Watch | None
    ) -> Reply:
        text = ""
        prepared = self._request.prepared
        stream = calls.stream(to, spec.messages, spec.mode, spec.max_tokens, options, prepared)
        try:
            while events := await stream.batch():
                for event in events:
                    if tell is not None and not isinstance(event, Finished):
                        tell(event)
                text += "".join(event.text for event in events if isinstance(event, TextDelta))
                if watch is not None and watch(text):
                    break
        finally:
            await stream.aclose()
        return stream.reply


async def _booked(client: AsyncClient, attempt_ids: Sequence[str]) -> list[Attempt]:
    """The attempts of a call that failed, as its ledger has them."""
    ledger = client.ledger
    found = await ledger.in_thread(lambda: [ledger.attempt(attempt_id) for attempt_id in attempt_ids])
    return [attempt for attempt in found if attempt is not None]
