"""Rows through a client or a router: so many at once, with pauses when the endpoint asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol, Unpack

from deepthrift._types.errors import (
    AuthenticationFailed,
    BatchError,
    BudgetExceeded,
    CircuitOpen,
    ConfigurationError,
    ConnectionFailed,
    DeepthriftError,
    EngineError,
    InsufficientBalance,
    LedgerError,
    NotFound,
    Overloaded,
    PermissionRefused,
    PricingError,
    RateLimited,
    ServerError,
    StatusError,
)
from deepthrift._types.messages import Messages
from deepthrift._types.options import ChatOptions
from deepthrift._types.reply import Reply
from deepthrift._util.tasks import run_together
from deepthrift.batch._chatter import Chatter
from deepthrift.batch._result import BatchResult, costs
from deepthrift.batch._row import BatchRow, row_mode
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode

_STOPS: Final = (
    AuthenticationFailed,
    BatchError,
    ConfigurationError,
    EngineError,
    InsufficientBalance,
    LedgerError,
    NotFound,
    PermissionRefused,
    PricingError,
)
_AWAY: Final = (CircuitOpen, ConnectionFailed, Overloaded, RateLimited)
"""What is no fault of the row, and may pass."""
_MOST_PAUSES: Final = 8
"""Times that a row is put off while no other comes through, before the batch stops."""
_LONGEST_BACKOFF: Final = 60.0
_LONGEST_PAUSE: Final = 3600.0
_LOOK_EVERY: Final = 0.5
"""Seconds after which a pause notices that the batch is over."""
_IN_A_ROW: Final = 8
"""Rows that fail one after the other because the endpoint does, before the batch stops."""


def meets_every_row(error: DeepthriftError, *, others_came: bool = False) -> bool:
    """Whether what one row met would meet every further row as well: a wrong key, a budget that is used up.

    A row that is dearer than a whole budget says nothing of the others, if one of them came through.
    """
    if not isinstance(error, BudgetExceeded):
        return isinstance(error, _STOPS)
    status, needed = error.status, error.needed
    if status is None or status.budget.per in ("call", "answer") or status.budget.each:
        return False  # a limit on this row alone, or on those like it
    return not (others_came and needed is not None and needed > status.limit)


class ModeChatter(Protocol):
    """A client: its `chat` takes a mode."""

    def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Awaitable[Reply]:
        """One complete answer."""
        ...


class RowClient:
    """Asks rows of a client, and those without a mode of what stands in its place."""

    def __init__(self, client: ModeChatter, profile: HostProfile, mode: Mode | None, through: Chatter | None) -> None:
        self._client = client
        self._profile = profile
        self._mode: Mode | None = mode
        self._through = through

    async def ask(self, row: BatchRow) -> Reply:
        """One complete answer."""
        mode = row_mode(row, self._mode, self._profile)
        if mode is None and self._through is not None:
            return await self._through.chat(row.messages, max_tokens=row.max_tokens, **row.options)
        return await self._client.chat(row.messages, mode=mode or "standard", max_tokens=row.max_tokens, **row.options)


class RowSender(Protocol):
    """What answers rows: an `RowClient` here, or workers on other machines."""

    async def ask(self, row: BatchRow) -> Reply:
        """One complete answer."""
        ...


class Sink(Protocol):
    """Where it is written down what becomes of rows."""

    async def started(self, row: BatchRow) -> None:
        """It is about to be sent."""
        ...

    async def unsent(self, row: BatchRow) -> None:
        """It was not sent after all."""
        ...

    async def ended(self, result: BatchResult) -> None:
        """It has a result."""
        ...


class Runner:
    """Brings rows to their results, `concurrency` of them at once."""

    def __init__(self, sender: RowSender, sink: Sink, concurrency: int, stop: Callable[[], bool] | None = None) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is 1 or more, not {concurrency!r}")
        self._sender = sender
        self._sink = sink
        self._concurrency = concurrency
        self._stop = stop
        self._resume_at = 0.0
        self._fruitless = self._answers = 0
        self.stopped: DeepthriftError | None = None
        """Why no further row was begun."""
        self._broken: BaseException | None = None

    async def run(self, rows: Iterator[BatchRow]) -> None:
        """Every row, or as many as could be begun: rows under way are always brought to their end.

        Raises:
            BaseException: What something other than an answer failed with, such as a bug in a router of yours.
        """
        await run_together(self._work(rows) for _ in range(self._concurrency))
        if self._broken is not None:
            raise self._broken

    @property
    def _over(self) -> bool:
        return self.stopped is not None or self._broken is not None or (self._stop is not None and self._stop())

    async def _work(self, rows: Iterator[BatchRow]) -> None:
        while not self._over:
            try:
                row = next(rows, None)
                if row is None:
                    return
                await self._bring(row)
            except DeepthriftError as error:  # the files, not the row
                self.stopped = self.stopped or error
            except Exception as error:
                self._broken = self._broken or error

    async def _bring(self, row: BatchRow) -> None:
        pauses, answers = 0, self._answers
        while True:
            await self._pause()
            if self._over:
                return
            await self._sink.started(row)
            try:
                result = BatchResult(row=row, reply=await self._sender.ask(row))
            except DeepthriftError as error:
                result = BatchResult(row=row, error=error)
                if not costs(error):
                    if answers != self._answers:  # others come through: it is busy, and not down
                        pauses, answers = 0, self._answers
                    again = self._may_put_off(error, pauses)
                    if again or self._ends_it(error) or isinstance(error, _AWAY):
                        if again:
                            self._put_off(error, pauses)
                            pauses += 1
                        else:
                            self.stopped = self.stopped or error
                        await self._sink.unsent(row)
                        continue
                self._count(error)
            else:
                self._fruitless = 0
                self._answers += 1
            await self._sink.ended(result)
            return

    def _ends_it(self, error: DeepthriftError) -> bool:
        return meets_every_row(error, others_came=self._answers > 0)

    def _may_put_off(self, error: DeepthriftError, pauses: int) -> bool:
        """Whether the endpoint only asked to come back later, or is down for a while: not from the beginning."""
        if pauses >= _MOST_PAUSES or self._ends_it(error):
            return False
        return isinstance(error, Overloaded | RateLimited) or (isinstance(error, _AWAY) and self._answers > 0)

    def _count(self, error: DeepthriftError) -> None:
        """Stop when row after row fails because the endpoint does: it is down, and the rest would only fail too."""
        if self._ends_it(error):
            self.stopped = self.stopped or error
        if not isinstance(error, ServerError):
            return
        self._fruitless += 1
        if self._fruitless >= max(_IN_A_ROW, self._concurrency):
            self.stopped = self.stopped or error

    def _put_off(self, error: DeepthriftError, pauses: int) -> None:
        pause = error.retry_after if isinstance(error, CircuitOpen | StatusError) else None
        seconds = min(_LONGEST_BACKOFF, 2.0**pauses) if pause is None else min(_LONGEST_PAUSE, pause)
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    async def _pause(self) -> None:
        """Wait until the endpoint wants requests again."""
        loop = asyncio.get_running_loop()
        while (left := self._resume_at - loop.time()) > 0 and not self._over:  # noqa: ASYNC110  # `stop` tells nobody
            await asyncio.sleep(min(left, _LOOK_EVERY))
