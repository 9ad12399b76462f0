"""Work that runs side by side and ends together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def run_together(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """The results of all; when one fails or the caller is cancelled, the others are cancelled and awaited.

    Raises:
        BaseException: The first failure.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.gather(*tasks, return_exceptions=True)
