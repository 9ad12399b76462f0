"""The engine as a server in the foreground, for other programs on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from deepthrift.local._engine.engine import Engine


def serve(engine: Engine, on_ready: Callable[[Engine], None] | None = None) -> None:
    """Run an engine until Ctrl-C or a request to terminate, then stop it in order. Blocks.

    When it dies, it is started again.

    Args:
        engine: What to run, with a fixed `port=` and `key=` if other programs shall know them.
        on_ready: Called once it answers; read `engine.url` and `engine.key` there.

    Raises:
        EngineKeepsCrashing: It died too often; the message ends with its log.
        EngineError: It did not come up; see `Engine` for the reasons.
    """
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(engine, on_ready))


async def _serve(engine: Engine, on_ready: Callable[[Engine], None] | None) -> None:
    task = asyncio.current_task()
    if task is not None:
        # Windows has no such handlers, and only the main thread may set them.
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with engine:
        if on_ready is not None:
            on_ready(engine)
        await engine.wait()
