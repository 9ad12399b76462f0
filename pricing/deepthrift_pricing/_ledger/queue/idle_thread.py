"""A daemon thread that works when it's woken and ends when there's nothing to do, and a way off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 1.0
"""How long an idle thread stays; a new one takes about 0.1 ms to start."""


class IdleThread:
    """Runs `work` whenever it's woken. `work` returns the seconds after which to run it again, or `None`.

    The thread starts with the first `wake` and ends after a second without one, so an object that isn't closed leaves
    no thread behind. `wake` never blocks, and may be called from any thread, a finalizer or a signal handler.
    """

    def __init__(self, name: str, work: Callable[[], float | None]) -> None:
        self._name = name
        self._work = work
        self.forget()

    def forget(self) -> None:
        """Starts from scratch; for a forked child, where the thread doesn't exist."""
        self._signal = threading.Lock()
        self._signal.acquire()
        self._raised = False
        self._guard = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def wake(self) -> None:
        """Has the work done soon."""
        self._raise_signal()
        if self._thread is None:
            with self._guard:
                if self._thread is None:
                    thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                    self._thread = thread
                    try:
                        thread.start()
                    except RuntimeError:  # the interpreter is shutting down
                        self._thread = None

    def stop(self, seconds: float) -> None:
        """Has the thread end, if it runs, and waits for that up to so many seconds."""
        self._stopping = True
        thread = self._thread
        if thread is not None:
            self._raise_signal()
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _raise_signal(self) -> None:
        if not self._raised:  # a signal that is up already covers what was put into the queue until now
            self._raised = True
            with contextlib.suppress(RuntimeError):  # another thread raised it in the same moment
                self._signal.release()

    def _main(self) -> None:
        pause: float | None = None
        while True:
            if not self._signal.acquire(timeout=IDLE_SECONDS if pause is None else pause) and pause is None:
                self._thread = None
                if not self._signal.acquire(blocking=False):
                    return
                self._raised = False
                with self._guard:  # woken at the last moment: go on, unless a new thread has taken over
                    if self._thread is not None:
                        self._raise_signal()
                        return
                    self._thread = threading.current_thread()
            self._raised = False
            pause = self._work()
            if self._stopping:
                self._thread = None
                return


def in_event_loop() -> bool:
    """Whether this thread runs an event loop at this moment."""
    return asyncio._get_running_loop() is not None  # get_running_loop raises, which costs more


def off_loop(work: Callable[[], T]) -> T:
    """What `work` returns; inside an event loop it runs in a thread of its own, and this one waits."""
    if not in_event_loop():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it's raised in the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="deepthrift-ledger-once", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class _Forgetful(Protocol):
    def forget(self) -> None: ...


_EVERY: Final[weakref.WeakSet[_Forgetful]] = weakref.WeakSet()


def forget_after_fork(owner: _Forgetful) -> None:
    """Calls `owner.forget` in a forked child, in which no thread but the one that forked exists."""
    _EVERY.add(owner)


def _forget_all() -> None:
    for owner in list(_EVERY):
        owner.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
