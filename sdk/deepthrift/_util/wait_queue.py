"""Waiting in line for a place, in the order of coming; who is cancelled leaves no hole and keeps no place."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

Line: TypeAlias = deque[asyncio.Future[None]]
"""Those who wait; setting the result of one gives it the place."""


def join(line: Line) -> asyncio.Future[None]:
    """Stand at the end of the line."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    line.append(waiter)
    return waiter


async def turn(line: Line, waiter: asyncio.Future[None], give_back: Callable[[], None]) -> None:
    """Wait until `waiter` has its place; one that came in the same moment as a cancellation is given back."""
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            give_back()
        else:
            with contextlib.suppress(ValueError):
                line.remove(waiter)
        raise
