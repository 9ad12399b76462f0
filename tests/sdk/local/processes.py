"""What the system tells of processes, for tests that count what is left of an engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.waiting import PATIENCE


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a name that nobody has collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until(done: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait for something that will be; whether it came."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return done()
