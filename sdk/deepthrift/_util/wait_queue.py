"""A FIFO wait queue. Cancelled waiters are removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

WaitQueue: TypeAlias = deque[asyncio.Future[None]]
"""The waiters; setting the result of one lets it continue."""


def join(queue: WaitQueue) -> asyncio.Future[None]:
    """Add a waiter to the end of the queue."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    queue.append(waiter)
    return waiter


async def turn(queue: WaitQueue, waiter: asyncio.Future[None], give_back: Callable[[], None]) -> None:
    """Wait for `waiter`'s turn. A turn that comes together with a cancellation is given back."""
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            give_back()
        else:
            with contextlib.suppress(ValueError):
                queue.remove(waiter)
        raise
