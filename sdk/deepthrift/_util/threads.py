"""Synchronous functions beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], arguments: Mapping[str, object]) -> T:
    """Run `function` in a thread of its own.

    A thread cannot be stopped: when the caller is cancelled, the function runs on and its result is dropped. It is a
    daemon, so one that hangs keeps neither the loop nor the process from ending.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    context = contextvars.copy_context()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(context.run(function, **arguments))
        except BaseException as error:
            errors.append(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, ended)

    threading.Thread(target=work, name="deepthrift-tool", daemon=True).start()
    await ended
    if errors:
        raise errors.pop()
    return results.pop()


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
