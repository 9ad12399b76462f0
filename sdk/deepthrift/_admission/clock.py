"""The three limits on time of a call, and the pauses between its attempts."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from deepthrift._types.errors import (
    APIError,
    AttemptTimeout,
    BudgetExceeded,
    DeadlineExceeded,
    DeepthriftError,
    Overloaded,
    StatusError,
)

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")

_LONGEST_PAUSE: Final = 120.0
"""Seconds: a `Retry-After` beyond it is not waited for; the error says what was asked."""
FIRST_BACKOFF = 1.0
"""Seconds before the first retry at most; each further one may take twice as long."""
_LONGEST_BACKOFF: Final = 16.0
_RESOLUTION: Final = time.get_clock_info("monotonic").resolution
"""Seconds by which asyncio's timers may go off early: next to nothing, or, on Windows, a sixtieth of a second."""


class Clock:
    """The time of one call, in seconds of the event loop."""

    def __init__(self, *, timeout: float, idle_timeout: float, deadline: float | None) -> None:
        self._now = asyncio.get_running_loop().time
        self.started = self._now()
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.deadline = deadline
        self.ends_at = math.inf if deadline is None else self.started + deadline

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._now() - self.started

    @property
    def left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return self.ends_at - self._now()

    def limit(self) -> asyncio.Timeout:
        """Ends what runs in it at the deadline: `async with clock.limit(): …`."""
        return asyncio.timeout_at(None if self.ends_at == math.inf else self.ends_at)

    def attempt_end(self) -> float:
        """When an attempt that starts now has to be over."""
        return min(self._now() + self.timeout, self.ends_at)

    def read_end(self, attempt_end: float) -> float:
        """When the next bytes of a stream have to be there."""
        return min(self._now() + self.idle_timeout, attempt_end)

    def timed_out(self, attempt_end: float) -> APIError:
        """What to raise when time ran out."""
        now = self._now() + _RESOLUTION
        if now >= self.ends_at:
            return DeadlineExceeded(
                f"the call took longer than its deadline of {self.deadline:g} s; give it more, or a smaller max_tokens"
            )
        if now >= attempt_end:
            return AttemptTimeout(
                f"no complete answer within timeout={self.timeout:g} s. It may be billed, so it stays booked; "
                "give it more time, or stream it"
            )
        return AttemptTimeout(
            f"the stream was silent for idle_timeout={self.idle_timeout:g} s. It may be billed, so it stays booked"
        )


def retry_after(error: BaseException | None) -> float | None:
    """Seconds that the endpoint asked to be left alone for, if it did."""
    return error.retry_after if isinstance(error, StatusError) else None


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    may_retry: Callable[[BaseException], bool],
    max_retries: int,
    clock: Clock,
    asked: Callable[[BaseException | None], float | None] = retry_after,
) -> T:
    """Run `attempt`, and again after errors that `may_retry` allows: the one retry layer there is.

    A pause is as long as was `asked`, else it grows at random from half a second; one that would outlast the deadline
    is not begun. A retry that no budget has room for is not sent: the error before it is raised, and says so.
    """
    try:
        return await attempt()
    except Exception as error:
        if max_retries == 0 or not may_retry(error):
            raise
        failed: Exception | None = error
        last: Exception = error
        no_room = False

    async def again() -> T:
        """The attempt that failed already, as the first one, and then further ones."""
        nonlocal failed, last, no_room
        if failed is not None:
            error, failed = failed, None
            raise error
        try:
            return await attempt()
        except BudgetExceeded as error:
            no_room = True
            if isinstance(last, DeepthriftError):
                last.message += f". It was not retried; a budget has no room for another try: {error.message}"
            raise last from error
        except Exception as error:
            last = error
            raise

    return await _retrying(lambda error: not no_room and may_retry(error), max_retries, clock, asked)(again)


def _retrying(
    may_retry: Callable[[BaseException], bool],
    max_retries: int,
    clock: Clock,
    asked: Callable[[BaseException | None], float | None],
) -> tenacity.AsyncRetrying:
    import tenacity  # most calls never need it

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if (seconds := asked(error)) is not None:
            return seconds
        slower = 2.0 if isinstance(error, Overloaded) else 1.0
        most = min(_LONGEST_BACKOFF, slower * FIRST_BACKOFF * 2.0 ** (state.attempt_number - 1))
        return random.uniform(most / 2, most)  # noqa: S311  # spreads load, guards nothing

    def give_up(state: tenacity.RetryCallState) -> bool:
        return (
            state.attempt_number > max_retries
            or state.upcoming_sleep > _LONGEST_PAUSE
            or state.upcoming_sleep >= clock.left
        )

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(may_retry), wait=pause, stop=give_up, sleep=asyncio.sleep, reraise=True
    )
