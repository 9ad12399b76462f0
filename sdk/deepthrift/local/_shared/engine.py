"""An engine that several processes share. Each of them holds a lease; the engine ends with the last one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

from deepthrift._types.errors import ConfigurationError, EngineCrashed, EngineStartFailed, UnsupportedMachine
from deepthrift.local._engine.settings import EngineSettings, Plan
from deepthrift.local._models.gguf import read_header
from deepthrift.local._process.runner import Runner, Running
from deepthrift.local._process.start import EngineProgress, pauses
from deepthrift.local._shared.lease import FileLock, Lease
from deepthrift.local._shared.state import Folder, State, same_settings

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_PAUSE: Final = 0.02
_MOST_KEEPERS: Final = 3
"""Keepers that are started for one call, if each of them ends at once."""
_TAIL_BYTES: Final = 16_384
_TAIL_LINES: Final = 20
_NOTICED_SECONDS: Final = 1.0
"""The keeper looks ten times a second whether the engine lives."""


class SharedEngine(Runner):
    """See `Engine` for the arguments."""

    def __init__(
        self,
        settings: EngineSettings,
        share: bool | str,
        *,
        on_progress: Callable[[EngineProgress], None] | None,
        on_crash: Callable[[EngineCrashed], None] | None,
        log: object,
    ) -> None:
        if os.name != "posix":
            raise UnsupportedMachine("Sharing an engine needs Linux or macOS: leave share= out.")
        if log is not None:
            raise ConfigurationError("A shared engine keeps its log in a file of its own: leave log= out.")
        self._settings = settings = settings.located()
        self._folder = Folder.of(share, settings)
        self._on_progress = on_progress
        self._on_crash = on_crash
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._keeper: FileLock | None = None
        self._starts: FileLock | None = None
        self._last: Running | None = None
        self._seen: tuple[int, int] = (0, 0)
        self._crashed = 0
        self._opening = False

    @property
    def open(self) -> bool:
        return self._lease is not None and not self._opening

    @property
    def last(self) -> Running | None:
        return self._last

    @property
    def pid(self) -> int | None:
        last = self._last
        return last.pid if last is not None and self._keeper is not None and self._keeper.held_elsewhere else None

    @property
    def crashes(self) -> int:
        return self._crashed

    async def start(self) -> Running:
        if self._lease is not None:
            raise ConfigurationError("This engine is running already: use it, or make another one.")
        self._folder.make()
        self._opening = True
        try:
            self._lease = Lease(self._folder.leases)
            self._keeper = FileLock(self._folder.keeper_lock)
            self._starts = FileLock(self._folder.start_lock)
            running = await self._settled()
        except BaseException:
            self.kill()
            raise
        finally:
            self._opening = False
        return running

    async def begin(self) -> Running:
        lease, keeper = self._lease, self._keeper
        if lease is None or keeper is None:
            raise ConfigurationError("The engine is closed: open it, or make another one.")
        lease.touch()
        last = self._last
        if last is not None and self._unchanged() and keeper.held_elsewhere:
            return last
        return await self._settled()

    def end(self) -> None:
        lease = self._lease
        if lease is not None:
            lease.touch()

    def _unchanged(self) -> bool:
        """Whether the keeper has written nothing new since this process looked."""
        return self._stamp() == self._seen

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._folder.state.stat()
        except FileNotFoundError:
            return (0, 0)
        return found.st_mtime_ns, found.st_ino

    async def _settled(self) -> Running:
        """The engine when it answers; a keeper is started if there is none."""
        keepers = int(await self._kept())
        while True:
            stamp, state = self._stamp(), self._folder.read()
            if state is not None:
                self._check(state)
                self._note(state)
                if state.phase == "failed" and state.failure is not None:
                    raise state.failure.error()
            if self._lease is None:
                raise EngineStartFailed("The engine was closed while it started.")
            if state is None or self._keeper is None or not self._keeper.held_elsewhere:
                keepers += await self._kept()
                if keepers > _MOST_KEEPERS:
                    raise EngineStartFailed(f"The process that is to keep the shared engine ended.\n{self.log_tail()}")
                await asyncio.sleep(_PAUSE)
                continue
            if state.phase == "ready":
                self._seen = stamp
                return self._running(state)
            if self._on_progress is not None:
                self._on_progress(EngineProgress(state.stage, state.seconds, state.done, state.total))
            await asyncio.sleep(_PAUSE)

    async def _kept(self) -> bool:
        """Make sure that there is a keeper; whether one had to be started."""
        keeper = self._keeper
        if keeper is None or keeper.held_elsewhere:
            return False
        async with self._only_one():
            if keeper.held_elsewhere:
                return False
            self._folder.state.unlink(missing_ok=True)  # of a keeper that was killed
            await asyncio.to_thread(_start_keeper, self._folder.path, self._settings)
            for pause in pauses(lambda: keeper.held_elsewhere, 30.0):
                await asyncio.sleep(pause)
            if not keeper.held_elsewhere:
                raise EngineStartFailed("The process that is to keep the shared engine did not come up.")
            return True

    @contextlib.asynccontextmanager
    async def _only_one(self) -> AsyncGenerator[None]:
        """Hold the lock on starts, which every process and thread asks for."""
        starts = self._starts
        if starts is None:
            raise ConfigurationError("The engine is closed: open it, or make another one.")
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110  # threads and event loops share it
            await asyncio.sleep(_PAUSE)
        try:
            while not starts.take():  # noqa: ASYNC110  # and so do processes
                await asyncio.sleep(_PAUSE)
            try:
                yield
            finally:
                starts.give()
        finally:
            self._lock.release()

    def _check(self, state: State) -> None:
        other = same_settings(self._settings, state.settings)
        if other:
            raise ConfigurationError(
                f"The shared engine {self._folder.path.name!r} runs with another {', '.join(other)}: ask for the same, "
                "or give share= another name."
            )

    def _note(self, state: State) -> None:
        """Tell of deaths that this process has not told of yet."""
        fresh = state.crashed - self._crashed
        self._crashed = state.crashed
        if fresh > 0 and self._on_crash is not None and not self._opening:
            for told in state.crashes[-fresh:]:
                error = told.error()
                if isinstance(error, EngineCrashed):
                    self._on_crash(error)

    def _running(self, state: State) -> Running:
        last = self._last
        if last is not None and (last.pid, last.url) == (state.pid, state.url):
            return last
        header = read_header(state.path) if last is None else last.plan.header
        generation = 1 if last is None else last.generation + 1
        plan = Plan(header, state.name, state.context)
        self._last = Running(state.url, state.key, state.pid, generation, plan)
        return self._last

    async def crash(self, of: Running | None, within: float) -> EngineCrashed | None:
        of = of or self._last
        if of is None or self._lease is None:
            return None
        found = self._death(of)
        for pause in pauses(lambda: self._death(of) is not None, within and within + _NOTICED_SECONDS):
            await asyncio.sleep(pause)
        return found or self._death(of)

    def _death(self, of: Running) -> EngineCrashed | None:
        keeper = self._keeper
        if self._lease is None or keeper is None:
            return None
        state = self._folder.read()
        if state is not None:
            self._note(state)
            for told in state.crashes:
                if told.pid == of.pid:
                    error = (state.failure or told).error()
                    return error if isinstance(error, EngineCrashed) else None
        if not keeper.held_elsewhere or (state is not None and state.pid not in (0, of.pid)):
            return EngineCrashed(
                "The process that kept the shared engine ended, and the engine with it. The next call starts both."
            )
        return None

    def log_tail(self) -> str:
        with contextlib.suppress(OSError), self._folder.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])
        return ""

    async def aclose(self) -> None:
        self.kill()

    def kill(self) -> None:
        for held in (self._lease, self._keeper, self._starts):
            if held is not None:
                held.close()
        self._lease = self._keeper = self._starts = self._last = None


def _start_keeper(folder: Path, settings: EngineSettings) -> None:
    path = [str(Path(each).absolute()) for each in sys.path]
    told = json.dumps({"path": path, "folder": str(folder.absolute()), "settings": settings.as_json()})
    try:
        subprocess.run(  # noqa: S603
            [sys.executable, "-P", str(_KEEPER)],
            input=told.encode() + b"\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineStartFailed(
            f"The process that is to keep the shared engine could not be started: {error}."
        ) from error
