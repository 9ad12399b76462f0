"""The process that keeps a shared engine: it runs as long as anybody holds a lease, and as long as somebody asks.

It is started by file name, tells what to do over standard input, and leaves its parent at once, so that it outlives
whoever happened to start it. The engine itself is its child, and ends with it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deepthrift._types.errors import DeepthriftError
    from deepthrift.local._engine.settings import EngineSettings
    from deepthrift.local._process.own import OwnEngine
    from deepthrift.local._process.runner import Running
    from deepthrift.local._process.start import EngineProgress
    from deepthrift.local._shared.state import Folder, State

_PAUSE: Final = 0.1
_LOCK_SECONDS: Final = 10.0
_KEPT_CRASHES: Final = 4


def main() -> int:
    """Leave the parent, then keep the engine."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    if os.fork():
        return 0
    os.setsid()
    os.chdir("/")  # it keeps nobody's folder busy
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    sys.path[:] = told["path"]
    import asyncio
    from pathlib import Path

    from deepthrift.local._shared.state import Folder, settings_of

    folder = Folder(Path(told["folder"]))
    asyncio.run(Keeper(folder, settings_of(told["settings"]), told["settings"]).run())
    return 0


class Keeper:
    """Keeps the engine of one folder."""

    def __init__(self, folder: Folder, settings: EngineSettings, told: dict[str, object]) -> None:
        from dataclasses import replace

        from deepthrift.local._process.logfile import LogFile
        from deepthrift.local._process.own import OwnEngine
        from deepthrift.local._shared.state import State

        self._folder = folder
        self._idle = settings.idle_shutdown
        self._state: State = State(phase="starting", settings=told)
        self._engine: OwnEngine = OwnEngine(
            replace(settings, idle_shutdown=None),
            on_progress=self._progress,
            on_crash=self._crashed,
            sink=LogFile(folder.log),
        )

    async def run(self) -> None:
        """Until nobody needs the engine any more."""
        import asyncio
        import contextlib
        import signal

        from deepthrift.local._shared.lease import FileLock

        alive = FileLock(self._folder.keeper_lock)
        if not await _taken(alive):
            return  # another one keeps it
        work = asyncio.create_task(self._work())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        starts = FileLock(self._folder.start_lock)
        try:
            while not work.done():
                await asyncio.sleep(_PAUSE)
                if not self._wanted() and await _taken(starts):
                    if self._wanted():
                        starts.give()  # somebody came in this very moment
                    else:
                        break
        finally:
            if self._state.phase != "failed":  # else it stays, for those who have not read yet why
                self._folder.state.unlink(missing_ok=True)
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            await self._engine.aclose()
            alive.close()
            starts.close()

    def _wanted(self) -> bool:
        """Whether somebody holds a lease and has asked something lately."""
        import time

        from deepthrift.local._process.health import busy_slots
        from deepthrift.local._shared.lease import leases

        touched = leases(self._folder.leases)
        if not touched or self._idle is None or self._state.phase != "ready":
            return bool(touched)
        if time.time() - max(touched) < self._idle:
            return True
        last = self._engine.last
        return last is not None and bool(busy_slots(last.url, last.key))

    async def _work(self) -> None:
        import asyncio

        from deepthrift._types.errors import DeepthriftError, EngineKeepsCrashing

        self._tell()
        try:
            self._ready(await self._engine.start())
            while True:
                await asyncio.sleep(_PAUSE)
                if await self._engine.crash(None, 0) is not None:
                    self._tell(phase="starting", stage="checking")
                    self._ready(await self._engine.begin())
                    self._engine.end()
        except DeepthriftError as error:
            self._failed(error)
            if isinstance(error, EngineKeepsCrashing):
                await asyncio.Event().wait()  # whoever still uses it is to be told why

    def _ready(self, running: Running) -> None:
        from deepthrift.local._shared.state import describe

        self._tell(
            phase="ready",
            url=running.url,
            key=running.key,
            pid=running.pid,
            **describe(running.plan),
        )

    def _failed(self, error: DeepthriftError) -> None:
        from deepthrift.local._shared.state import ErrorRecord

        self._tell(phase="failed", failure=ErrorRecord.of(error))

    def _progress(self, now: EngineProgress) -> None:
        if now.stage != "ready":
            self._tell(stage=now.stage, seconds=now.seconds, done=now.done, total=now.total)

    def _crashed(self, error: DeepthriftError) -> None:
        from deepthrift.local._shared.state import ErrorRecord

        last = self._engine.last
        told = ErrorRecord.of(error, last.pid if last is not None else 0)
        self._tell(crashes=(*self._state.crashes, told)[-_KEPT_CRASHES:], crashed=self._state.crashed + 1)

    def _tell(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        self._folder.write(self._state)


async def _taken(lock: Any) -> bool:
    """Take a lock that others hold for moments only."""
    import asyncio
    import time

    end = time.monotonic() + _LOCK_SECONDS
    while not lock.take():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True


if __name__ == "__main__":
    sys.exit(main())
