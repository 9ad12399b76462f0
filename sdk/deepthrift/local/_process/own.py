"""An engine in a child of this process: started, started again when it dies, put to sleep when nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import urlsplit

from deepthrift._types.errors import ConfigurationError, EngineCrashed, EngineStartFailed
from deepthrift.local._engine.settings import EVERYWHERE, EngineSettings, Reporter, prepare, spawn
from deepthrift.local._process.child import Child
from deepthrift.local._process.crashes import Crash, History, crash_of
from deepthrift.local._process.health import busy_slots
from deepthrift.local._process.runner import Runner, Running
from deepthrift.local._process.start import LOOPBACK, EngineProgress, pauses, until_ready

_LOG: Final = logging.getLogger("deepthrift.engine")
_PAUSE: Final = 0.02


class OwnEngine(Runner):
    """See `Engine` for the arguments."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        on_progress: Callable[[EngineProgress], None] | None,
        on_crash: Callable[[EngineCrashed], None] | None,
        sink: Callable[[str], None] | None,
    ) -> None:
        self._settings = settings
        self._on_progress = on_progress
        self._on_crash = on_crash
        self._sink = sink
        self._key = ""
        self._child: Child | None = None
        self._last: Running | None = None
        self._ends: dict[int, Crash] = {}
        self._history = History(settings.restarts)
        self._starting = threading.Lock()
        self._counting = threading.Lock()
        self._burying = threading.Lock()
        self._in_flight = 0
        self._quiet_since = time.monotonic()
        self._open = False
        self._opening = False
        self._closing = False
        self._idle: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def open(self) -> bool:
        return self._open

    @property
    def last(self) -> Running | None:
        return self._last

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child is not None else None

    @property
    def crashes(self) -> int:
        return self._history.total

    async def start(self) -> Running:
        if self._open or self._opening:
            raise ConfigurationError("This engine is running already: use it, or make another one.")
        self._opening = True
        self._closing = False
        self._key = self._settings.key or secrets.token_urlsafe(32)
        self._history = History(self._settings.restarts)
        self._ends.clear()
        try:
            running = await self._start()
        finally:
            self._opening = False
        self._open = True
        if self._settings.idle_shutdown is not None:
            self._closed.clear()
            self._idle = threading.Thread(target=self._watch_idleness, name="deepthrift-engine-idle", daemon=True)
            self._idle.start()
        return running

    async def begin(self) -> Running:
        with self._counting:
            self._in_flight += 1
        try:
            return await self._alive()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        with self._counting:
            self._in_flight -= 1
            self._quiet_since = time.monotonic()

    async def _alive(self) -> Running:
        child, last = self._child, self._last
        if child is not None and last is not None and last.pid == child.pid and child.poll() is None:
            return last
        async with self._only_one():
            if not self._open or self._closing:
                raise ConfigurationError("The engine is closed: open it, or make another one.")
            child, last = self._child, self._last
            if child is not None and last is not None and child.poll() is None:
                return last
            if child is not None:
                self._bury(child)
            if (refused := self._history.refusal) is not None:
                raise refused
            return await self._start()

    @contextlib.asynccontextmanager
    async def _only_one(self) -> AsyncGenerator[None]:
        """Hold the lock on starts; it is shared by threads and event loops, so it is polled."""
        while not self._starting.acquire(blocking=False):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE)
        try:
            yield
        finally:
            self._starting.release()

    async def _start(self) -> Running:
        report = Reporter(self._on_progress)
        try:
            plan = await asyncio.to_thread(prepare, self._settings, report)
        except asyncio.CancelledError:
            report.abandoned.set()
            raise
        last = self._last
        port = urlsplit(last.url).port or 0 if last is not None else 0
        child = spawn(self._settings, plan, key=self._key, last_port=port, sink=self._sink)
        try:
            for pause in until_ready(child, size=plan.header.size, timeout=self._settings.start_timeout, report=report):
                await asyncio.sleep(pause)
                if self._closing:
                    break
            if self._closing:
                raise EngineStartFailed("The engine was closed while it started.")
            url = (child.event or {})["url"].rstrip("/").replace(EVERYWHERE, LOOPBACK)
        except BaseException:
            child.kill()
            raise
        running = Running(url, self._key, child.pid, 1 if last is None else last.generation + 1, plan)
        self._last, self._child = running, child
        self._quiet_since = time.monotonic()
        return running

    def _bury(self, child: Child) -> Crash:
        """Take note of the death of `child`, once."""
        generation = self._last.generation if self._last is not None else 0
        with self._burying:
            found = self._ends.get(generation)
            if found is not None:
                return found
            found = self._ends[generation] = crash_of(child.poll() or 0, child)
            self._history.add(found)
            child.kill()  # closes its pipes
        error = found.error()
        _LOG.warning("%s", error.message)
        if self._on_crash is not None:
            self._on_crash(error)
        return found

    async def crash(self, of: Running | None, within: float) -> EngineCrashed | None:
        of = of or self._last
        if of is None:
            return None
        for pause in pauses(lambda: self._closing or self._died(of) is not None, within):
            await asyncio.sleep(pause)
        found = self._died(of)
        if found is None:
            return None
        return self._history.refusal or found.error()

    def _died(self, of: Running) -> Crash | None:
        found = self._ends.get(of.generation)
        child = self._child
        if found is not None or self._closing or child is None or child.pid != of.pid or child.poll() is None:
            return found
        return self._bury(child)

    def log_tail(self) -> str:
        child = self._child
        return child.log.tail() if child is not None else ""

    def _watch_idleness(self) -> None:
        limit = self._settings.idle_shutdown or 0.0
        while not self._closed.wait(min(1.0, limit / 4)):
            child, last = self._child, self._last
            # Who does not say how busy it is may be too busy to say, with requests that did not come through here.
            if child is None or last is None or self._is_busy(limit) or busy_slots(last.url, last.key) != 0:
                continue
            with self._starting:
                with self._counting:
                    if self._in_flight or self._closing or self._child is not child or child.poll() is not None:
                        continue
                    self._child = None  # a request that comes now finds no engine, and waits for the next one
                self._stop(child)

    def _stop(self, child: Child) -> None:
        child.ask_to_stop()
        for pause in pauses(lambda: child.poll() is not None, self._settings.grace + 1.0):
            time.sleep(pause)
        child.kill()

    def _is_busy(self, limit: float) -> bool:
        with self._counting:
            return self._in_flight > 0 or time.monotonic() - self._quiet_since < limit

    async def aclose(self) -> None:
        self._closing = True
        self._open = False
        self._closed.set()
        child, self._child = self._child, None
        idle, self._idle = self._idle, None
        try:
            if child is not None:
                child.ask_to_stop()
                for pause in pauses(lambda: child.poll() is not None, self._settings.grace + 1.0):
                    await asyncio.sleep(pause)
            if idle is not None:
                await asyncio.to_thread(idle.join, self._settings.grace + 5.0)
        finally:
            if child is not None:
                child.kill()
            self._last = None

    def kill(self) -> None:
        self._closing = True
        self._closed.set()
        child, self._child = self._child, None
        if child is not None:
            child.kill()
