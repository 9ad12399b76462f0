"""The limit on how long a stream may be silent, without a timer for every chunk."""

from __future__ import annotations

import asyncio
from types import TracebackType

from deepthrift._admission.clock import Clock


class IdleTimeout:
    """Ends a wait for bytes that outlasts its limit: `with silence: await …`, one wait at a time.

    One timer serves all waits of a stream. When it goes off too early, because bytes came meanwhile, it is set anew;
    a timer of its own for each wait would cost as much as reading a chunk.
    """

    def __init__(self, clock: Clock, attempt_end: float) -> None:
        self._clock = clock
        self._attempt_end = attempt_end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._due = 0.0
        self._fired = False
        self._cancelling = 0

    def __enter__(self) -> None:
        self._waiting = task = asyncio.current_task(self._loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._due = self._clock.read_end(self._attempt_end)
        if self._timer is None or self._timer.when() > self._due:
            self.close()
            self._timer = self._loop.call_at(self._due, self._fire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._waiting = self._waiting, None
        if not self._fired:
            return
        self._fired = False
        # As in asyncio.timeout: a cancellation by anybody else is not taken for the limit.
        if task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        """No wait follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait sets it
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._fire)
            return
        self._fired = True
        self._waiting.cancel()
