"""An event loop in a thread of its own, on which code without `await` runs what is awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import threading
from collections.abc import Coroutine
from typing import Final, TypeVar

from deepthrift._types.errors import ClientClosed, ConfigurationError

T = TypeVar("T")

_GRACE: Final = 5.0
"""Seconds that a cancelled call gets to close its connection and to book what it did."""


class Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="deepthrift-client", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            # A call that another thread began while the client was being closed ends with it.
            while tasks := asyncio.all_tasks(self._loop):
                for task in tasks:
                    task.cancel()
                self._loop.run_until_complete(asyncio.wait(tasks))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` on the loop and wait for it; an interrupt of this thread cancels it first."""
        if self._pid != os.getpid():
            work.close()
            raise ConfigurationError("this Client was made in another process; make one after the fork")
        if threading.current_thread() is self._thread:
            work.close()
            raise ConfigurationError("a Client cannot be used from inside its own event loop; use AsyncClient there")
        if self._loop.is_closed():
            work.close()
            raise ClientClosed("the client is closed; make a new one")
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []
        context = contextvars.copy_context()

        def start() -> None:
            task = self._loop.create_task(work, context=context)
            tasks.append(task)
            task.add_done_callback(lambda ended: _hand_over(ended, future))

        try:
            self._loop.call_soon_threadsafe(start)
        except RuntimeError:  # it was closed in this very moment
            work.close()
            raise ClientClosed("the client is closed; make a new one") from None
        try:
            return future.result()
        except asyncio.CancelledError:
            if self._stopping:
                raise ClientClosed("the client was closed by another thread") from None
            raise
        except BaseException:
            if not future.done():  # an interrupt of this thread: cancel the work, and let it book what it did
                self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
                concurrent.futures.wait([future], timeout=_GRACE)
            raise

    def stop(self) -> None:
        """End the loop and its thread. Safe to call twice."""
        if self._loop.is_closed() or self._pid != os.getpid():
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(10.0)


def _hand_over(task: asyncio.Task[T], future: concurrent.futures.Future[T]) -> None:
    if task.cancelled():
        future.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
