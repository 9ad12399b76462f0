"""Waiting for what will come, however busy the machine is: on the event itself, never for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from deepthrift_pricing import Ledger

PATIENCE: Final = 120.0
"""Seconds after which what should have come counts as missing. Only a failure takes that long."""
LIMITS: Final = (0.5, 4.0, 40.0)
"""Time limits, for tests of a limit that ends a call which has reached the server: where the machine was too busy for
the first, the test tries the next one."""
_PAUSE: Final = 0.005


async def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until the condition holds; the loop goes on meanwhile."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        await asyncio.sleep(_PAUSE)


def until_blocking(condition: Callable[[], object], what: str = "it") -> None:
    """The same for a thread without a loop."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(_PAUSE)


async def until_waiting(ledger: Ledger, callers: int) -> None:
    """Wait until so many callers wait for room in a budget."""
    await until(lambda: len(ledger._queue) == callers, f"{callers} callers in the queue")  # type: ignore[arg-type]


async def turns(count: int = 50) -> None:
    """Let everything that can go on go on: a few turns of the loop, for a test that nothing happens."""
    for _ in range(count):
        await asyncio.sleep(0)
